-- mtev.parsexml and what it gives: mtev.xmldoc and mtev.xmlnode.

local files = require("test.support.files")
local process = require("test.support.process")

local function parse(text)
  local doc, message = mtev.parsexml(text)
  assert(doc, message)
  return doc
end

local books = [[<?xml version="1.0"?>
<library city="Bern">
  <book id="1" lang="de"><title>Der Richter</title><price>12.5</price></book>
  <!-- out of print -->
  <book id="2"><title>A &amp; B &lt;c&gt;</title><price>30</price></book>
  <empty/>
</library>]]

local function contents_of(iterator)
  local list = {}
  for item in iterator do
    list[#list + 1] = type(item) == "userdata" and item:contents() or item
  end
  return list
end

describe("mtev.parsexml", function()
  it("gives a document with a root", function()
    local doc = parse(books)
    assert.equal("userdata", type(doc))
    assert.equal("library", doc:root():name())
    assert.equal("Bern", doc:root():attr("city"))
  end)

  it("gives nil and a message with line and column for what is not well-formed", function()
    local function refused(text, message)
      local doc, got = mtev.parsexml(text)
      assert.is_nil(doc)
      assert.matches("^line %d+, column %d+: ", got)
      if not message:find("column") then got = got:gsub(", column %d+", "") end
      assert.equal(message, got:sub(1, #message))
    end
    refused("<a>\n<b>\n</a>", "line 3, column 5: Opening and ending tag mismatch: b line 2 and a")
    refused("", "line 1: Document is empty")
    refused("plain", "line 1: Start tag expected")
    refused("<a/><b/>", "line 1: Extra content")
    refused("<a>\n&nbsp;</a>", "line 2: Entity 'nbsp' not defined")
    refused("<a x='1' x='2'/>", "line 1: Attribute x redefined")
    refused("<p:a/>", "line 1: Namespace prefix p on a is not defined")
    refused("<a>\1</a>", "line 1: ")
    refused("<a>\0</a>", "line 1: ")
    refused("<a>\xff</a>", "line 1: ")
    refused("<?xml version='1.0' encoding='no-such'?><a/>", "line 1: ")
    refused("<a>", "line 1: ")
  end)

  it("reads the encodings that documents declare", function()
    local doc = parse("<?xml version='1.0' encoding='ISO-8859-1'?><a b='\xfc'>\xe9</a>")
    assert.equal("é", doc:root():contents())
    assert.equal("ü", doc:root():attr("b"))
    assert.equal('<?xml version="1.0" encoding="ISO-8859-1"?>\n<a b="\xfc">\xe9</a>\n', doc:tostring())
  end)

  it("counts lines beyond 65535", function()
    local _, message = mtev.parsexml("<a>" .. ("\n"):rep(100000) .. "</b>")
    assert.equal("line 100001, column 5: Opening and ending tag mismatch: a line 1 and b", message)
  end)

  it("wants a string", function()
    assert.error_matches(function() mtev.parsexml() end, "bad argument #1 to 'parsexml' %(string expected")
    assert.error_matches(function() mtev.parsexml({}) end, "string expected, got table")
  end)
end)

describe("documents that mean harm", function()
  local function refused(text, pattern)
    local doc, message = mtev.parsexml(text)
    assert.equal("nil", type(doc))
    assert.truthy(message:match(pattern), message)
  end

  it("cannot blow up by entities in entities", function()
    local lines = { '<!ENTITY e0 "lol">' }
    for i = 1, 12 do lines[#lines + 1] = ('<!ENTITY e%d "%s">'):format(i, ("&e" .. i - 1 .. ";"):rep(10)) end
    local head = "<!DOCTYPE a [" .. table.concat(lines) .. "]>"
    refused(head .. "<a>&e12;</a>", "entity reference loop")
    refused(head .. "<a b='&e12;'/>", "entity reference loop")
    refused("<!DOCTYPE a [<!ENTITY e '&e;'>]><a>&e;</a>", "entity reference loop")
  end)

  it("cannot blow up by one long entity many times", function()
    local head = "<!DOCTYPE a [<!ENTITY e '" .. ("x"):rep(100000) .. "'>]>"
    refused(head .. "<a>" .. ("&e;"):rep(100000) .. "</a>", "entity")
  end)

  it("cannot read files, by any kind of entity", function()
    local file = files.write(os.tmpname(), "secret")
    local refusal = "^line %d+, column %d+: external and parameter entities are refused$"
    refused(("<!DOCTYPE a [\n<!ENTITY e SYSTEM 'file://%s'>]><a>&e;</a>"):format(file), refusal)
    refused(("<!DOCTYPE a [<!ENTITY e SYSTEM '%s'>]><a>&e;</a>"):format(file), refusal)
    refused(("<!DOCTYPE a [<!ENTITY e PUBLIC 'x' '%s'>]><a/>"):format(file), refusal)
    refused(("<!DOCTYPE a [<!ENTITY %% e SYSTEM '%s'> %%e;]><a/>"):format(file), refusal)
    refused(("<!DOCTYPE a [<!ENTITY %% e 'x'>]><a/>"):format(file), refusal)
    -- An unparsed entity is only a name for something else, and never read.
    local doc = parse(("<!DOCTYPE a [<!NOTATION n SYSTEM 'x'><!ENTITY e SYSTEM '%s' NDATA n>]><a b='e'/>"):format(file))
    assert.equal("e", doc:root():attr("b"))
    os.remove(file)
  end)

  it("cannot make us fetch a DTD, nor include, nor open documents", function()
    local listener = mtev.socket("inet")
    assert.equal(0, listener:bind("127.0.0.1", 0))
    assert.equal(0, listener:listen(10))
    local _, port = listener:sock_name()
    local asked = false
    mtev.coroutine_spawn(function()
      listener = listener:own()
      if listener:accept() then asked = true end
    end)
    local base = "http://127.0.0.1:" .. port
    local doc = parse(('<!DOCTYPE a SYSTEM "%s/a.dtd"><a xmlns:xi="http://www.w3.org/2001/XInclude">' ..
      '<xi:include href="%s/b.xml"/></a>'):format(base, base))
    parse(('<!DOCTYPE a PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "%s/x.dtd"><a/>'):format(base))
    parse(('<?xml-stylesheet href="%s/x.xsl" type="text/xsl"?><a/>'):format(base))
    assert.error_matches(function() doc:xpath(("document('%s/c.xml')"):format(base)) end, "unknown function")
    mtev.sleep(0.05)
    assert.is_false(asked)
  end)

  it("cannot nest without end", function()
    refused(("<a>"):rep(100000), "Excessive depth")
    refused(("<a>"):rep(300) .. ("</a>"):rep(300), "Excessive depth")
    parse(("<a>"):rep(250) .. ("</a>"):rep(250))
  end)

  it("cannot have names or attributes of any length", function()
    refused("<a b='" .. ("x"):rep(11e6) .. "'/>", "AttValue length too long")
    refused("<" .. ("a"):rep(60000) .. "/>", "Name too long")
  end)

  it("say nothing on stderr", function()
    local output = process.run([[
      mtev.parsexml("<a>&x;<b></a>")
      mtev.parsexml("<!DOCTYPE a [<!ENTITY e SYSTEM 'x'>]><a>&e;</a>")
      pcall(function() mtev.parsexml("<a/>"):xpath("foo(") end)
      pcall(function() mtev.parsexml("<a/>"):xpath("foo()") end)
      print("done")]])
    assert.equal("done\n", output)
  end)
end)

describe("xmldoc:tostring", function()
  it("gives the document's text, and so does tostring", function()
    local text = '<?xml version="1.0"?>\n<a b="&quot;&lt;">&amp;<c/><!-- d --><?e f?></a>\n'
    assert.equal(text, parse(text):tostring())
    assert.equal(text, tostring(parse(text)))
    assert.equal('<?xml version="1.0"?>\n<a/>\n', parse("<a></a>"):tostring())
  end)

  it("declares no encoding for what is ASCII, and keeps UTF-8 that was declared", function()
    local text = '<?xml version="1.0" encoding="UTF-8"?>\n<a>ü€</a>\n'
    assert.equal(text, parse(text):tostring())
  end)
end)

describe("xmldoc:xpath", function()
  it("iterates over nodes in document order: elements, attributes, texts", function()
    local doc = parse(books)
    assert.same({ "Der Richter", "A & B <c>" }, contents_of(doc:xpath("//title")))
    assert.same({ "1", "2" }, contents_of(doc:xpath("/library/book/@id")))
    assert.same({ "12.5", "30" }, contents_of(doc:xpath("//price/text()")))
    assert.same({ "2", "30" }, contents_of(doc:xpath("//price[.=30] | //book[2]/@id")))
    assert.same({ " out of print " }, contents_of(doc:xpath("//comment()")))
    assert.same({}, contents_of(doc:xpath("//nothing")))
    assert.equal("id", doc:xpath("//@id")():name())
  end)

  it("gives numbers, strings and booleans, once", function()
    local doc = parse(books)
    assert.same({ 42.5 }, contents_of(doc:xpath("sum(//price)")))
    assert.same({ "Bern" }, contents_of(doc:xpath("string(/library/@city)")))
    assert.same({ "" }, contents_of(doc:xpath("string(//nothing)")))
    local iterator = doc:xpath("1 = 2")
    assert.is_false(iterator())
    assert.is_nil(iterator())
    local nan = doc:xpath("number('x')")()
    assert.is_true(nan ~= nan)
  end)

  it("starts at a node, if told", function()
    local doc = parse(books)
    local second = doc:xpath("//book[2]")()
    assert.same({ "A & B <c>" }, contents_of(doc:xpath("title", second)))
    assert.same({ "30" }, contents_of(doc:xpath("./price", second)))
    assert.same({ "Bern" }, contents_of(doc:xpath("../@city", second)))
    assert.same({ "library" }, contents_of(doc:xpath("name(/*)", second)))
    assert.same({ "title" }, contents_of(doc:xpath("name(..)", doc:xpath("//title/text()")())))
  end)

  it("knows namespaces by the prefixes it is given", function()
    local doc = parse('<a xmlns="urn:one" xmlns:t="urn:two"><b>1</b><t:b>2</t:b></a>')
    assert.same({}, contents_of(doc:xpath("//b")))
    assert.same({ "1" }, contents_of(doc:xpath("//x:b", nil, { x = "urn:one" })))
    assert.same({ "2" }, contents_of(doc:xpath("//y:b", doc:root(), { x = "urn:one", y = "urn:two" })))
    assert.same({}, contents_of(doc:xpath("//namespace::*"))) -- these are no nodes
    assert.error_matches(function() doc:xpath("//x:b") end, "undefined namespace prefix")
    assert.error_matches(function() doc:xpath("//b", nil, { x = 1 }) end, "bad argument #3 to 'xpath'")
    assert.error_matches(function() doc:xpath("//b", nil, { "urn:one" }) end, "bad argument #3 to 'xpath'")
  end)

  it("raises for an expression that is wrong, and says what", function()
    local doc = parse("<a/>")
    local function wrong(expression, message)
      assert.error_matches(function() doc:xpath(expression) end, message, 1, true)
    end
    wrong("//[", "xpath '//[': syntax error at byte 2")
    wrong("", "syntax error")
    wrong("foo()", "unknown function")
    wrong("$x", "undefined variable")
    wrong("count()", "wrong number of arguments")
    wrong("count(1)", "wrong type")
    wrong("/a | 1", "wrong type")
    wrong("a\0b", "bad argument #1 to 'xpath'")
    wrong(("("):rep(100000) .. "1", "xpath '")
    assert.error_matches(function() doc:xpath() end, "bad argument #1 to 'xpath'")
  end)

  it("raises for a node of another document", function()
    local one, two = parse("<a/>"), parse("<a/>")
    assert.error_matches(function() one:xpath("b", two:root()) end, "bad argument #2 to 'xpath' %(node of another document%)")
    assert.error_matches(function() one:xpath("b", "c") end, "bad argument #2 to 'xpath' %(mtev.xmlnode expected, got string%)")
  end)

  it("has its result whole before the document changes", function()
    local doc = parse("<a><b>1</b><b>2</b><b>3</b></a>")
    local seen = {}
    for b in doc:xpath("//b") do
      doc:root():contents("gone")
      collectgarbage()
      seen[#seen + 1] = b:contents()
    end
    assert.same({ "1", "2", "3" }, seen)
    assert.equal("gone", doc:root():contents())
  end)
end)

describe("an xmlnode", function()
  it("iterates over its children, and goes to the next sibling", function()
    local root = parse("<a>x<b/><!--c--><?d e?><![CDATA[f]]></a>"):root()
    local names = {}
    for child in root:children() do names[#names + 1] = child:name() end
    assert.same({ "text", "b", "comment", "d", "cdata-section" }, names) -- as libxml2 calls them
    local child, count = root:children()(), 0
    while child do
      assert.equal(names[count + 1], child:name())
      child, count = child:next(), count + 1
    end
    assert.equal(5, count)
    assert.is_nil(root:next())
    assert.is_nil(root:children()():children()())
  end)

  it("is equal to itself, however it was found", function()
    local doc = parse(books)
    assert.is_true(doc:root() == doc:xpath("/library")())
    assert.is_false(doc:root() == doc:root():children()())
    assert.is_false(parse("<a/>"):root() == parse("<a/>"):root())
  end)

  it("has attributes that can be read, set and removed", function()
    local doc = parse('<a b="1"/>')
    local a = doc:root()
    assert.is_nil(a:attr("c"))
    a:attr("c", '<&">')
    a:attribute("b", "two")
    assert.equal('<&">', a:attribute("c"))
    assert.equal('<a b="two" c="&lt;&amp;&quot;&gt;"/>', doc:tostring():match("<a.*>"))
    a:attr("b", nil)
    a:attr("nothing", nil)
    a:attr("c", "")
    assert.is_nil(a:attr("b"))
    assert.equal("", a:attr("c"))
    assert.equal('<a c=""/>', doc:tostring():match("<a.*>"))
  end)

  it("has attributes in namespaces", function()
    local doc = parse('<a xmlns:t="urn:t" t:b="1" b="2" t:c="3" xml:lang="de"/>')
    local a = doc:root()
    assert.equal("1", a:attr("t:b"))
    assert.equal("2", a:attr("b"))
    assert.equal("3", a:attr("c")) -- as libxml2 finds it
    assert.equal("de", a:attr("xml:lang"))
    a:attr("t:b", "x")
    a:attr("t:d", "y")
    assert.same({ "x", "y" }, contents_of(doc:xpath("//@p:b | //@p:d", nil, { p = "urn:t" })))
    a:attr("t:b", nil)
    assert.equal("2", a:attr("b"))
  end)

  it("has contents that can be read and set, without escaping", function()
    local doc = parse("<a>x<b>y<c>z</c></b><!-- no --></a>")
    local a = doc:root()
    assert.equal("xyz", a:contents())
    a:contents("1 < 2 &amp; <b/>")
    assert.equal("1 < 2 &amp; <b/>", a:contents())
    assert.equal("<a>1 &lt; 2 &amp;amp; &lt;b/&gt;</a>", doc:tostring():match("<a.*>"))
    a:contents("")
    assert.equal("", a:contents())
    assert.equal("<a/>", doc:tostring():match("<a.*>"))
    a:contents(12)
    a:children()():contents("text & node")
    assert.equal("text & node", a:contents())
    a:attr("id", "1")
    doc:xpath("//@id")():contents("<2>")
    assert.equal("<2>", a:attr("id"))
  end)

  it("gets children", function()
    local doc = parse('<a xmlns:t="urn:t"/>')
    local b = doc:root():addchild("b")
    b:contents("1")
    doc:root():addchild("t:c"):attr("d", "2")
    assert.equal('<a xmlns:t="urn:t"><b>1</b><t:c d="2"/></a>', doc:tostring():match("<a.*>"))
    assert.equal("b", b:name())
    assert.same({ "2" }, contents_of(doc:xpath("//x:c/@d", nil, { x = "urn:t" })))
    local nested = parse('<a xmlns="urn:a"/>')
    nested:root():addchild("b")
    assert.equal('<a xmlns="urn:a"><b/></a>', nested:tostring():match("<a.*>"))
  end)

  it("refuses what would be no XML", function()
    local a = parse("<a><!--c--><?p i?>t</a>"):root()
    for _, name in ipairs { "", "1", "a b", "<", "a\0b", "\xff", ":", "a:", "a&" } do
      assert.error_matches(function() a:addchild(name) end, "bad argument #1 to 'addchild' %(not an XML name%)")
      assert.error_matches(function() a:attr(name, "x") end, "bad argument #1 to 'attr' %(not an XML name%)")
    end
    for _, text in ipairs { "\0", "a\0b", "\1", "\27[0m", "\xff", "\xc0\x80", "\xed\xa0\x80", "\239\191\191" } do
      assert.error_matches(function() a:contents(text) end, "bad argument #1 to 'contents' %(not text that XML allows%)")
      assert.error_matches(function() a:attr("b", text) end, "bad argument #2 to 'attr' %(not text that XML allows%)")
    end
    local children = a:children()
    local comment, instruction, text = children(), children(), children()
    assert.error_matches(function() comment:contents("a--b") end, "comments have no")
    assert.error_matches(function() comment:contents("a-") end, "comments have no")
    assert.error_matches(function() instruction:contents("?>") end, "processing instructions have no")
    assert.error_matches(function() text:addchild("b") end, "this node is not an element")
    assert.error_matches(function() text:attr("b") end, "this node is not an element")
    comment:contents(" fine ")
    assert.equal("<a><!-- fine --><?p i?>t</a>", tostring(parse(tostring(parse("<a><!-- fine --><?p i?>t</a>")))):match("<a.*>"))
  end)

  it("is told from other objects", function()
    local doc = parse("<a/>")
    assert.error_matches(function() doc.root(doc:root()) end, "mtev.xmldoc expected, got mtev.xmlnode")
    assert.error_matches(function() doc:root().name(doc) end, "mtev.xmlnode expected, got mtev.xmldoc")
    assert.error_matches(function() doc:root().name() end, "mtev.xmlnode expected")
  end)
end)

describe("memory of XML", function()
  it("lasts as long as any node is held", function()
    local node, attribute, next_child
    do
      local doc = parse(books)
      node = doc:xpath("//title")()
      attribute = doc:xpath("//@city")()
      next_child = doc:root():children()
    end
    for _ = 1, 3 do collectgarbage() end
    assert.equal("Der Richter", node:contents())
    assert.equal("Bern", attribute:contents())
    assert.equal("text", next_child():name())
    assert.equal("book", next_child():name())
    assert.equal("price", node:next():name())
    node:addchild("more")
  end)

  it("lasts for what was taken out while it was held", function()
    local doc = parse("<a x='1'><b y='2'>deep<c/></b></a>")
    local b, y, c, x = doc:xpath("//b")(), doc:xpath("//@y")(), doc:xpath("//c")(), doc:xpath("//@x")()
    local inner = doc:xpath("//b/text()")()
    doc:root():contents("new")
    doc:root():attr("x", nil)
    doc = nil
    for _ = 1, 3 do collectgarbage() end
    assert.equal("deep", b:contents())
    assert.equal("2", y:contents())
    assert.equal("c", c:name())
    assert.equal("1", x:contents())
    assert.equal("deep", inner:contents())
    b:contents("changed")
    assert.equal("deep", inner:contents())
    assert.equal("changed", b:contents())
    b:attr("y", nil)
    assert.equal("2", y:contents())
  end)

  it("lasts for the iterator when its body removes the child at hand", function()
    local a = parse("<a><b>1</b><b>2</b><b>3</b></a>"):root()
    local count = 0
    for child in a:children() do
      count = count + 1
      child:contents("x")
      collectgarbage()
    end
    assert.equal(3, count)
    for _ in a:children() do
      a:contents("") -- takes out all of them
      collectgarbage()
      count = count + 1
    end
    assert.is_true(count >= 4)
    assert.equal("", a:contents())
  end)

  it("is freed when changes are many", function()
    local doc = parse("<a/>")
    local a = doc:root()
    local function resident()
      return tonumber(files.read("/proc/self/statm"):match("^%d+ (%d+)")) * 4096
    end
    local before
    for i = 1, 30000 do
      a:contents(("x"):rep(2000))
      a:attr("b", ("y"):rep(2000))
      if i == 10000 then before = resident() end
    end
    assert.is_true(resident() - before < 50e6) -- 80 MB were written since
  end)

  -- What a process that runs `script` held at most, as a multiple of the document that it makes of `count` rows.
  local function peak_of(count, script)
    local output = process.run([[
      local row = '<r id="1"><name>somebody</name><value>some text of a usual length</value><empty/></r>'
      local text = "<all>" .. row:rep(]] .. count .. [[) .. "</all>"
      ]] .. script .. [[
      for line in io.lines("/proc/self/status") do
        local peak = line:match("VmHWM:%s+(%d+)")
        if peak then print(peak * 1024 / #text) end
      end]])
    return assert(tonumber(output), output)
  end

  local is_slow = os.getenv("LHOTSE_SLOW_BUILD") ~= nil -- sanitizers use memory of their own

  it("is ten to fifteen times the text, also for 100 MB", function()
    local count = is_slow and 1e5 or 1.2e6
    local peak = peak_of(count, [[
      local doc = assert(mtev.parsexml(text))
      assert(doc:xpath("count(//r)")() == ]] .. count .. ")")
    print(("# peak memory of %.0f MB of XML: %.1f times the text"):format(count * 87 / 1e6, peak))
    assert.is_true(is_slow or peak < 20)
  end)

  it("is freed soon when large documents are dropped", function()
    local peak = peak_of(100000, "for _ = 1, 12 do assert(mtev.parsexml(text)) end")
    print(("# peak memory of twelve documents of 9 MB, one after the other: %.1f times one"):format(peak))
    assert.is_true(is_slow or peak < 45)
  end)

  it("suffices for children nested by addchild", function()
    local doc = parse("<a/>")
    local node = doc:root()
    for _ = 1, 255 do node = node:addchild("b") end
    node:contents("deep")
    assert.equal("deep", doc:root():contents())
    assert.same({ 255 }, contents_of(doc:xpath("count(//b)")))
    assert.equal(255, select(2, doc:tostring():gsub("<b>", "")))
    assert.error_matches(function() node:addchild("b") end, "element 'b': nested too deeply (256)", 1, true)
  end)

  -- An element that was taken out while it was held names a declaration of one that is freed afterwards.
  it("lasts for namespaces of what was taken out", function()
    local doc = parse("<a><b xmlns:p='urn:p'><c xmlns:q='urn:p' p:k='1'/></b></a>")
    local b = doc:root():children()()
    local c = b:children()()
    b:contents("")
    b = nil
    collectgarbage()
    collectgarbage()
    doc:root():contents("")
    assert.equal("1", c:attr("q:k"))
  end)
end)

-- libxml2 keeps names and declarations apart: without these checks the text would be refused, or mean another document.
describe("what is written", function()
  -- Changes <a><b/><p:c p:k="1" xmlns:p="urn:p"/></a>; returns the text, which must be readable, and the error.
  local function change(f)
    local doc = parse("<a><b/><p:c p:k='1' xmlns:p='urn:p'/></a>")
    local ok, err = pcall(f, doc:root(), doc)
    local again, message = mtev.parsexml(doc:tostring())
    assert.is_nil(not again and message or nil)
    return doc:tostring():match("<a.*>"), not ok and err:gsub("^.-:%d+: ", "") or nil
  end

  local function refuses(message, f) assert.equal(message, (select(2, change(f)))) end

  it("has no prefix that is not declared", function()
    refuses("attribute 'q:k': the prefix is not declared", function(a) a:attr("q:k", "1") end)
    refuses("element 'q:x': the prefix is not declared", function(a) a:addchild("q:x") end)
    refuses("element 'xmlns:x': the prefix is not declared", function(a) a:addchild("xmlns:x") end)
    local long = ("p"):rep(300)
    assert.is_truthy(select(2, change(function(a) a:attr(long .. ":k", "1") end)))
    assert.is_nil(select(2, change(function(a) a:attr("xml:lang", "de") a:attr("xml:id", "1 2") a:addchild("xml:x") end)))
    assert.is_nil(parse("<a/>"):root():attr("q:k"))
  end)

  it("declares a prefix by the attribute xmlns:prefix", function()
    local text, err = change(function(a, doc)
      a:attr("xmlns:q", "urn:q")
      a:attr("q:k", "1")
      a:addchild("q:x"):addchild("y")
      assert.equal("urn:q", a:attr("xmlns:q"))
      assert.same({ 2 }, contents_of(doc:xpath("count(//n:x | //n:x/n:y)", nil, { n = "urn:q" })))
    end)
    assert.is_nil(err)
    assert.equal([[<a xmlns:q="urn:q" q:k="1"><b/><p:c xmlns:p="urn:p" p:k="1"/><q:x><q:y/></q:x></a>]], text)
  end)

  it("declares the namespace of elements without a prefix by xmlns", function()
    assert.is_nil(select(2, change(function(a, doc)
      a:attr("xmlns", "urn:d")
      assert.same({ 2 }, contents_of(doc:xpath("count(//n:a | //n:b)", nil, { n = "urn:d" })))
      a:attr("xmlns", "urn:e")
      assert.same({ 2 }, contents_of(doc:xpath("count(//n:a | //n:b)", nil, { n = "urn:e" })))
      a:attr("xmlns", nil)
      assert.is_nil(a:attr("xmlns"))
      assert.same({ 2 }, contents_of(doc:xpath("count(//a | //b)")))
    end)))
  end)

  it("does not change what a prefix in use means", function()
    local in_use = "attribute 'xmlns:p': the prefix is in use"
    local function child(a) for node in a:children() do if node:name() == "c" then return node end end end
    refuses(in_use .. " for another namespace", function(a) child(a):attr("xmlns:p", "urn:other") end)
    refuses(in_use, function(a) child(a):attr("xmlns:p", nil) end)
    assert.is_nil(select(2, change(function(a) child(a):attr("xmlns:p", "urn:p") a:attr("xmlns:p", "urn:other") end)))
  end)

  it("declares nothing that no document may", function()
    for name, uri in pairs { ["xmlns:xmlns"] = "urn:x", ["xmlns:xml"] = "urn:x", ["xmlns:e"] = "", ["xmlns:s"] = "a b",
      ["xmlns:w"] = "http://www.w3.org/XML/1998/namespace", xmlns = "http://www.w3.org/2000/xmlns/" } do
      assert.is_truthy(select(2, change(function(a) a:attr(name, uri) end)), name)
    end
  end)

  it("keeps to the bounds of what is read", function()
    refuses("attribute 'k1001': too many attributes (1000)", function(a) for i = 1, 1001 do a:attr("k" .. i, "") end end)
    refuses("attribute 'xmlns:n256': too many namespaces (256)", function(a)
      for i = 1, 256 do a:attr("xmlns:n" .. i, "urn:" .. i) end
    end)
    refuses("text of more than 10 MB", function(a) a:contents(("x"):rep(1e7 + 1)) end)
    refuses("attribute 'k': text of more than 10 MB", function(a) a:attr("k", ("&"):rep(2e6)) end)
    assert.is_truthy(select(2, change(function(a) a:addchild(("n"):rep(50001)) end)))
  end)

  it("has no names that its encoding cannot say", function()
    local doc = parse('<?xml version="1.0" encoding="ISO-8859-1"?><a/>')
    doc:root():addchild("é"):attr("ü", "中")
    assert.error_matches(function() doc:root():addchild("中") end, "the document's encoding has no such character", 1, true)
    assert.equal("中", parse(doc:tostring()):root():children()():attr("ü"))
  end)
end)

-- libxml2 compares each attribute of a tag with all before it, and looks for a prefix among all namespaces that count.
describe("a document that would cost more than its length", function()
  local function refused(text, message)
    local doc, got = mtev.parsexml(text)
    assert.is_nil(doc)
    assert.matches(message, got, 1, true)
  end

  local function attributes(n, form)
    local list = {}
    for i = 1, n do list[i] = form:format(i) end
    return table.concat(list, " ")
  end

  it("has up to 1000 attributes in an element", function()
    assert.equal("v", parse("<a " .. attributes(1000, "k%d='v'") .. "/>"):root():attr("k1000"))
    refused("<a " .. attributes(1001, "k%d='v'") .. "/>", "more than 1000 attributes in one element")
    local started = os.clock()
    refused("<a " .. attributes(500000, "k%d='v'") .. "/>", "more than 1000 attributes in one element")
    assert.is_true(os.clock() - started < 10) -- else minutes
  end)

  it("has up to 256 namespaces at one place", function()
    assert.is_truthy(parse("<a " .. attributes(256, "xmlns:p%d='urn:p'") .. "/>"))
    refused("<a " .. attributes(257, "xmlns:p%d='urn:p'") .. "/>", "more than 256 namespaces in one place")
    refused("<a " .. attributes(200, "xmlns:p%d='urn:p'") .. "><b " .. attributes(200, "xmlns:q%d='urn:p'") .. "/></a>",
      "more than 256 namespaces in one place")
    local sibling = "<b " .. attributes(200, "xmlns:q%d='urn:p'") .. "/>"
    assert.is_truthy(parse("<a>" .. sibling:rep(10) .. "</a>"))
  end)

  it("has few attributes that a declaration adds", function()
    local function declared(n, uses)
      return "<!DOCTYPE a [<!ATTLIST a " .. attributes(n, "k%d CDATA 'v'\n") .. ">]><a>" .. ("<a/>"):rep(uses) .. "</a>"
    end
    assert.is_truthy(parse(declared(10, 10)))
    refused(declared(1000, 100000), "more than 1000 attributes in one element")
    refused(declared(10001, 1), "more than 10000 attributes declared")
  end)
end)
