---@meta
-- XML: mtev.parsexml and the methods of documents and nodes; XPath.

-- == XML ============================================================================================================

---@class mtev.xmldoc
---A document: an object; tostring gives its text.
local xmldoc = {}

---@class mtev.xmlnode
---An element, text, attribute, comment … of a document, which lives as long as any of its nodes is held. Nodes are
---compared with `==`. A node that was taken out of its document can still be read.
local xmlnode = {}

---Reads an XML 1.0 document with libxml2. Nothing is ever fetched, neither files nor network: an external DTD is not
---read. Entities declared as text are replaced. Does not yield.
---
---Not accepted: external and parameter entities; entities that expand without measure; elements nested deeper than
---256, with more than 1000 attributes, or where more than 256 namespaces are declared; more than 10,000 attributes
---declared by `<!ATTLIST>`; names of more than 50,000 bytes, attributes and texts of more than 10 MB, documents of 2
---GiB and more. `attr`, `addchild` and `contents` raise beyond the same limits, so the document's text can always be
---parsed again. The tree takes ten to fifteen times the memory of the text.
---@param text string in UTF-8, or in the encoding that it declares
---@return mtev.xmldoc? doc nil if the text is not well-formed
---@return string message `"line 3, column 5: Opening and ending tag mismatch: b line 2 and a"`
function mtev.parsexml(text) end

---The outermost element. Does not yield.
---@return mtev.xmlnode? node
function xmldoc:root() end

---The document as text, in the encoding it declares, by default UTF-8. Does not yield.
---@return string
function xmldoc:tostring() end

---Evaluates an XPath 1.0 expression. Nodes come in document order; namespace nodes are left out. A number, string or
---boolean comes once. The result is complete before the first step, so the document may be changed meanwhile. Does
---not yield.
---
---Raises for an invalid expression, and for a node of another document.
---
---Difference: libmtev drops results that are not nodes.
---@param expression string
---@param node? mtev.xmlnode where relative expressions begin; default: the document
---`namespaces`: extension: prefix -> URI, for the prefixes in the expression; the document's own are not known
---@param namespaces? table<string, string>
---@return fun(): mtev.xmlnode|number|string|boolean|nil
function xmldoc:xpath(expression, node, namespaces) end

---The name without prefix; `"text"`, `"comment"` … for nodes without one. Does not yield.
---@return string
function xmlnode:name() end

---An element's attribute: its value or nil; with `value`: sets it, or with nil removes it. `"p:name"` means the
---attribute in the namespace of p at this place. `"xmlns:p"` declares p, and `"xmlns"` the namespace of this element
---and of those in it that have no prefix. Does not yield.
---
---Raises for nodes other than elements, names that XML does not allow, values that are not UTF-8 or contain control
---characters, an undeclared prefix, a declaration that would change the meaning of a prefix in use, and more than
---1000 attributes.
---@param name string
---@param value? string
---@return string? value
function xmlnode:attr(name, value) end

---The same as `xmlnode:attr`.
---@param name string
---@param value? string
---@return string? value
function xmlnode:attribute(name, value) end

---The text of the node and everything in it; with `text`: replaces its contents (plain text, not escaped). Does not
---yield.
---
---Raises for text that is not UTF-8, contains control characters or is longer than 10 MB.
---@param text? string
---@return string contents
function xmlnode:contents(text) end

---Iterates over the children: elements, texts and comments. The current one may be removed (`remove`). Does not
---yield.
---@return fun(): mtev.xmlnode?
function xmlnode:children() end

---The next sibling, of any kind. Does not yield.
---
---Difference: libmtev's is only an iterator and cannot be called like this.
---@return mtev.xmlnode? node
function xmlnode:next() end

---Takes the node, with everything in it, out of its document; an attribute out of its element. It can still be read.
---A second call does nothing. Does not yield.
---
---Raises for a document and for nodes of its DTD.
function xmlnode:remove() end

---Adds an element at the end. `"p:name"` is put into the namespace of p at this place, a plain name into the
---parent's. Does not yield.
---
---Raises for nodes other than elements, names that XML does not allow, an undeclared prefix, and nesting deeper than
---256.
---@param name string
---@return mtev.xmlnode child
function xmlnode:addchild(name) end
