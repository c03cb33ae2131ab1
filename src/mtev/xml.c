/* What scripts get: mtev.parsexml, and the methods of mtev.xmldoc and mtev.xmlnode.
 *
 * The objects are small handles; data/xml.c counts them and so knows how long document and nodes must live. libxml2's
 * memory is unknown to Lua's collector, so documents that were dropped could pile up: when texts of some size were
 * parsed since the last time, it is run. */
#include "data/xml.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "data/xml_namespace.h"
#include "mtev/init.h"
#include "runtime/collector.h"
#include "runtime/errors.h"
#include "runtime/taken.h"
#include "runtime/type.h"

#define XMLDOC "mtev.xmldoc"
#define XMLNODE "mtev.xmlnode"
#define XMLITERATOR "mtev.xml.iterator"
#define PARSED_BYTES "mtev.xml.parsed"

enum { TREE_BYTES_PER_BYTE = 5, UNCOLLECTED_MAX = 32 * 1024 * 1024 };

typedef struct xmldoc {
    lh_xml *xml; /* NULL = collected */
} xmldoc;

typedef struct xmlnode {
    lh_xml *xml; /* NULL = collected */
    xmlNode *node;
} xmlnode;

/* What an XPath expression gave. */
typedef struct xmliterator {
    lh_xml *xml; /* NULL = collected */
    lh_xml_result result;
    size_t next;
} xmliterator;

static void *check_object(lua_State *L, int index, const char *class) {
    if (lua_type(L, index) == LUA_TUSERDATA && lua_getmetatable(L, index)) {
        luaL_getmetatable(L, class);
        const bool is_one = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
        if (is_one) return lua_touserdata(L, index);
    }
    lh_raise_type(L, index, class);
}

static lh_xml *check_doc(lua_State *L, int index) {
    const xmldoc *doc = check_object(L, index, XMLDOC);
    if (!doc->xml) lh_raise_argument(L, index, "document was collected");
    return doc->xml;
}

static xmlnode *check_node(lua_State *L, int index) {
    xmlnode *node = check_object(L, index, XMLNODE);
    if (!node->xml) lh_raise_argument(L, index, "node was collected");
    return node;
}

static xmlNode *check_element(lua_State *L, int index, lh_xml **xml) {
    const xmlnode *node = check_node(L, index);
    if (node->node->type != XML_ELEMENT_NODE) lh_raise(L, "this node is not an element");
    *xml = node->xml;
    return node->node;
}

static const char *check_xml_name(lua_State *L, int index) {
    size_t length;
    const char *name = lh_check_string(L, index, &length);
    if (!lh_xml_is_name(name, length)) lh_raise_argument(L, index, "not an XML name");
    return name;
}

static const char *check_text(lua_State *L, int index, size_t *length) {
    const char *text = lh_check_string(L, index, length);
    if (!lh_xml_is_text(text, *length)) lh_raise_argument(L, index, "not text that XML allows");
    return text;
}

/* NULL pushes nil. */
static int push_node(lua_State *L, lh_xml *xml, xmlNode *node) {
    if (!node) {
        lua_pushnil(L);
        return 1;
    }
    /* Before the allocation while the state closes: a finalizer, which runs inside calls then, may remove the node. */
    const bool is_closing = lh_state_here()->is_closing;
    if (is_closing) lh_xml_hold_node(xml, node);
    xmlnode *handle = lua_newuserdata(L, sizeof(*handle));
    if (!is_closing) lh_xml_hold_node(xml, node);
    *handle = (xmlnode){.xml = xml, .node = node};
    luaL_getmetatable(L, XMLNODE);
    lua_setmetatable(L, -2);
    return 1;
}

/* Pushes what libxml2 allocated, and frees it. */
static int push_text(lua_State *L, xmlChar *text, size_t length) {
    if (!text) lh_raise(L, "not enough memory");
    if (length > LH_STRING_MAX) {
        xmlFree(text);
        lh_raise(L, "not enough memory");
    }
    lh_push_taken(L, (char *)text, length, xmlFree);
    return 1;
}

/* -- Documents ----------------------------------------------------------------------------------------------------- */

/* Notes that a document of `length` bytes came, and collects when many did: whatever else Lua has, a full collection is
 * not more work than the parsing was. */
static void count_parsed(lua_State *L, size_t length) {
    lua_getfield(L, LUA_REGISTRYINDEX, PARSED_BYTES);
    size_t *parsed = lua_touserdata(L, -1);
    lua_pop(L, 1);
    *parsed += length * TREE_BYTES_PER_BYTE;
    if (*parsed < UNCOLLECTED_MAX || *parsed / 1024 < (size_t)lua_gc(L, LUA_GCCOUNT, 0)) return;
    *parsed = 0;
    lua_gc(L, LUA_GCCOLLECT, 0);
}

static int mtev_parsexml(lua_State *L) {
    size_t length;
    char message[LH_XML_MESSAGE_BYTES];
    const char *text = lh_check_string(L, 1, &length);
    count_parsed(L, length);
    xmldoc *doc = lua_newuserdata(L, sizeof(*doc));
    *doc = (xmldoc){.xml = NULL};
    luaL_getmetatable(L, XMLDOC);
    lua_setmetatable(L, -2);
    lh_check_memory(L);
    doc->xml = lh_xml_parse(text, length, message);
    return doc->xml ? 1 : lh_push_nil_error(L, message);
}

static int xmldoc_gc(lua_State *L) {
    xmldoc *doc = lua_touserdata(L, 1);
    if (doc->xml) lh_xml_drop(doc->xml);
    doc->xml = NULL;
    return 0;
}

static int xmldoc_root(lua_State *L) {
    lh_xml *xml = check_doc(L, 1);
    return push_node(L, xml, xmlDocGetRootElement(lh_xml_document(xml)));
}

static int xmldoc_tostring(lua_State *L) {
    size_t length;
    xmlChar *text = lh_xml_text(check_doc(L, 1), &length);
    return push_text(L, text, length);
}

/* -- Iterators ----------------------------------------------------------------------------------------------------- */

static int iterate(lua_State *L) {
    xmliterator *i = lua_touserdata(L, lua_upvalueindex(1));
    const lh_xml_result *result = &i->result;
    if (result->kind == LH_XML_NODES) {
        return push_node(L, i->xml, i->next < result->node_count ? result->nodes[i->next++] : NULL);
    }
    if (i->next++ > 0) {
        lua_pushnil(L);
    } else if (result->kind == LH_XML_NUMBER) {
        lua_pushnumber(L, result->number);
    } else if (result->kind == LH_XML_STRING) {
        lua_pushstring(L, result->string);
    } else {
        lua_pushboolean(L, result->boolean);
    }
    return 1;
}

static int iterator_gc(lua_State *L) {
    xmliterator *i = lua_touserdata(L, 1);
    if (!i->xml) return 0;
    lh_xml_result_free(i->xml, &i->result);
    lh_xml_drop(i->xml);
    i->xml = NULL;
    i->next = 1; /* gives nothing more */
    return 0;
}

/* Upvalue 1: a handle on the child to come, or nil. It goes on from there even if the one before was removed. */
static int iterate_children(lua_State *L) {
    const xmlnode *child = lua_touserdata(L, lua_upvalueindex(1));
    lua_pushvalue(L, lua_upvalueindex(1));
    if (child && child->xml) {
        push_node(L, child->xml, child->node->next);
        lua_replace(L, lua_upvalueindex(1));
    }
    return 1;
}

/* -- XPath --------------------------------------------------------------------------------------------------------- */

/* Pushes the strings and a block with their addresses; returns it. */
static const lh_xml_prefix *get_prefixes(lua_State *L, int index, size_t *count) {
    *count = 0;
    if (lua_isnoneornil(L, index)) return NULL;
    if (!lua_istable(L, index)) lh_raise_type(L, index, "table");
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_type(L, -1) != LUA_TSTRING || lua_type(L, -2) != LUA_TSTRING) {
            lh_raise_argument(L, index, "prefix = uri expected, both strings");
        }
        ++*count;
    }
    lh_xml_prefix *prefixes = lua_newuserdata(L, (*count + 1) * sizeof(*prefixes));
    size_t i = 0; /* the table keeps the strings */
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        prefixes[i++] = (lh_xml_prefix){.prefix = lua_tostring(L, -2), .uri = lua_tostring(L, -1)};
    }
    assert(i == *count);
    return prefixes;
}

static int xmldoc_xpath(lua_State *L) {
    size_t prefix_count;
    char message[LH_XML_MESSAGE_BYTES];
    lua_settop(L, 4);
    lh_xml *xml = check_doc(L, 1);
    const char *expression = lh_check_name(L, 2);
    xmlNode *from = NULL;
    if (!lua_isnil(L, 3)) {
        const xmlnode *node = check_node(L, 3);
        if (node->xml != xml) lh_raise_argument(L, 3, "node of another document");
        from = node->node;
    }
    const lh_xml_prefix *prefixes = get_prefixes(L, 4, &prefix_count);
    xmliterator *i = lua_newuserdata(L, sizeof(*i));
    *i = (xmliterator){.xml = NULL};
    luaL_getmetatable(L, XMLITERATOR);
    lua_setmetatable(L, -2);
    lh_xml_hold(xml);
    i->xml = xml;
    if (!lh_xml_xpath(xml, expression, from, prefixes, prefix_count, &i->result, message)) {
        lh_raise(L, "xpath '%s': %s", expression, message);
    }
    lua_pushcclosure(L, iterate, 1);
    return 1;
}

/* -- Nodes --------------------------------------------------------------------------------------------------------- */

static int xmlnode_gc(lua_State *L) {
    xmlnode *node = lua_touserdata(L, 1);
    if (node->xml) lh_xml_drop_node(node->xml, node->node);
    *node = (xmlnode){.xml = NULL};
    return 0;
}

static int xmlnode_eq(lua_State *L) {
    const xmlnode *a = check_object(L, 1, XMLNODE), *b = check_object(L, 2, XMLNODE);
    lua_pushboolean(L, a->node == b->node);
    return 1;
}

static int xmlnode_name(lua_State *L) {
    const xmlNode *node = check_node(L, 1)->node;
    switch (node->type) {
    case XML_DOCUMENT_NODE: lua_pushliteral(L, "document"); break; /* libxml2 has a file's name there */
    case XML_CDATA_SECTION_NODE: lua_pushliteral(L, "cdata-section"); break;
    default: lua_pushstring(L, node->name ? (const char *)node->name : "");
    }
    return 1;
}

static int xmlnode_attr(lua_State *L) {
    lh_xml *xml;
    size_t length;
    xmlNode *element = check_element(L, 1, &xml);
    const char *name = check_xml_name(L, 2);
    if (lua_gettop(L) < 3) {
        const char *prefix;
        if (lh_xml_is_declaration(name, &prefix)) {
            lua_pushstring(L, lh_xml_declared(element, prefix));
            return 1;
        }
        xmlAttr *attribute = lh_xml_attribute(element, name);
        if (!attribute) {
            lua_pushnil(L);
            return 1;
        }
        xmlChar *value = lh_xml_contents((xmlNode *)attribute);
        return push_text(L, value, value ? strlen((const char *)value) : 0);
    }
    const char *value = lua_isnil(L, 3) ? NULL : check_text(L, 3, &length);
    const char *reason =
        value ? lh_xml_set_attribute(xml, element, name, value, length) : lh_xml_remove_attribute(xml, element, name);
    if (reason) lh_raise(L, "attribute '%s': %s", name, reason);
    return 0;
}

static int xmlnode_contents(lua_State *L) {
    size_t length;
    const xmlnode *node = check_node(L, 1);
    if (lua_gettop(L) < 2) {
        xmlChar *contents = lh_xml_contents(node->node);
        return push_text(L, contents, contents ? strlen((const char *)contents) : 0);
    }
    const char *text = check_text(L, 2, &length);
    const char *problem = lh_xml_set_contents(node->xml, node->node, text, length);
    if (problem) lh_raise(L, "%s", problem);
    return 0;
}

static int xmlnode_children(lua_State *L) {
    const xmlnode *node = check_node(L, 1);
    push_node(L, node->xml, node->node->type == XML_ENTITY_REF_NODE ? NULL : node->node->children);
    lua_pushcclosure(L, iterate_children, 1);
    return 1;
}

static int xmlnode_next(lua_State *L) {
    const xmlnode *node = check_node(L, 1);
    return push_node(L, node->xml, node->node->next);
}

static int xmlnode_remove(lua_State *L) {
    const xmlnode *node = check_node(L, 1);
    const char *problem = lh_xml_remove(node->xml, node->node);
    if (problem) lh_raise(L, "%s", problem);
    return 0;
}

static int xmlnode_addchild(lua_State *L) {
    lh_xml *xml;
    xmlNode *element = check_element(L, 1, &xml);
    const char *name = check_xml_name(L, 2), *reason;
    xmlNode *child = lh_xml_add_child(element, name, &reason);
    if (!child) lh_raise(L, "element '%s': %s", name, reason);
    return push_node(L, xml, child);
}

/* ------------------------------------------------------------------------------------------------------------------ */

static const luaL_Reg functions[] = {{"parsexml", mtev_parsexml}, {NULL, NULL}};

static const luaL_Reg doc_methods[] = {
    {"root", xmldoc_root}, {"tostring", xmldoc_tostring}, {"xpath", xmldoc_xpath}, {NULL, NULL}};

static const luaL_Reg node_methods[] = {
    {"name", xmlnode_name},         {"attr", xmlnode_attr},         {"attribute", xmlnode_attr},
    {"contents", xmlnode_contents}, {"children", xmlnode_children}, {"next", xmlnode_next},
    {"addchild", xmlnode_addchild}, {"remove", xmlnode_remove},     {NULL, NULL}};

/* `core_name`: where core keeps the methods, NULL = none. */
static void open_class(lua_State *L, const char *class, lua_CFunction gc, const luaL_Reg *methods,
                       const char *core_name) {
    lh_type_new(L, class);
    lh_set_collector(L, gc);
    if (!methods) return;
    lua_newtable(L);
    lh_set_functions(L, lua_gettop(L), methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, LH_CORE, core_name);
    lua_setfield(L, -2, "__index");
}

void lh_open_xml(lua_State *L) {
    lh_xml_start();
    lh_set_functions(L, LH_MTEV, functions);
    open_class(L, XMLITERATOR, iterator_gc, NULL, NULL);
    open_class(L, XMLDOC, xmldoc_gc, doc_methods, "xmldoc_methods");
    lua_pushcfunction(L, xmldoc_tostring);
    lua_setfield(L, -2, "__tostring");
    open_class(L, XMLNODE, xmlnode_gc, node_methods, "xmlnode_methods");
    lua_pushcfunction(L, xmlnode_eq);
    lua_setfield(L, -2, "__eq");
    size_t *parsed = lua_newuserdata(L, sizeof(*parsed));
    *parsed = 0;
    lua_setfield(L, LUA_REGISTRYINDEX, PARSED_BYTES);
}
