---@meta
-- JSON: mtev.parsejson, tojson and the methods of a document.

-- == JSON ===========================================================================================================

---@class mtev.json
---A JSON document: an object that holds its text. tostring gives the text.
local json = {}

---Parses a text strictly by RFC 8259: no trailing garbage, comments, NaN, leading zeros, lone surrogates, invalid
---UTF-8, byte order mark; nesting up to 1024 levels; fractions beyond a double's range are errors (integers become
---strings, see `document`). Any scalar may be the document. Does not yield.
---@param text string up to 4 GiB
---@return mtev.json? json nil if the text is not JSON
---@return string message
---@return integer offset of the offending byte, from 0; the text's length if it ends too early
function mtev.parsejson(text) end

---The document as Lua values, newly created by each call. Null members are left out; null elements leave a hole in an
---array; a lone null is nil. Integers of 2^53 and above become strings of their digits; -0 keeps its sign. Of members
---with the same name the last one is used. Does not yield.
---
---`options`: extension: the value for null; integers of up to 64 bits as LuaJIT's int64_t and uint64_t
---@param options? {null?: any, int64?: boolean}
---@return any
function json:document(options) end

---The text, without white space between tokens. Does not yield.
---@return string
function json:tostring() end

---Writes a value as JSON. A table whose keys are all positive integers is an array, holes become null; an empty table
---is `[]`; all others are objects, with number keys written as `%.14g`. Functions, userdata, threads and cdata are
---null in arrays and left out of objects, as are members whose key is neither string nor number. Does not yield.
---
---Raises, naming the place: NaN and infinities, invalid UTF-8, a table that contains itself, tables nested deeper
---than 1024, an array with more than three times as many holes as values, two keys that are the same as text (1 and
---"1").
---
---Difference: libmtev writes NaN and infinities, which are not JSON, and cuts strings at a NUL.
---@param value any
---@param maxdepth? integer tables deeper than this become `"[depth elided]"`; default -1: none
---@return mtev.json
function mtev.tojson(value, maxdepth) end
