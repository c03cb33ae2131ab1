/* Every node has a field for its user, _private: here it counts who holds the node. What is removed is freed at once if
 * nobody holds anything of it, else it is kept in `removed` until the document ends. */
#include "data/xml.h"

#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/valid.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "data/utf8.h"

struct lh_xml {
    xmlDoc *document;
    size_t holders;
    xmlNode **removed; /* taken out while somebody held them */
    size_t removed_count, removed_capacity;
};

static void be_silent(void *user, const char *format, ...) { (void)user, (void)format; }

void lh_xml_start(void) {
    xmlInitParser();
    xmlSetGenericErrorFunc(NULL, be_silent); /* else some errors go to stderr; it is the thread's */
}

xmlDoc *lh_xml_document(const lh_xml *xml) { return xml->document; }

/* -- Who holds what ------------------------------------------------------------------------------------------------ */

void lh_xml_hold(lh_xml *xml) { xml->holders++; }

void lh_xml_drop(lh_xml *xml) {
    if (--xml->holders > 0) return;
    for (size_t i = 0; i < xml->removed_count; i++) {
        xmlNode *node = xml->removed[i];
        if (node->type == XML_ATTRIBUTE_NODE) {
            xmlFreeProp((xmlAttr *)node);
        } else {
            xmlFreeNode(node);
        }
    }
    lh_free(xml->removed);
    xmlFreeDoc(xml->document);
    lh_free(xml);
}

void lh_xml_hold_node(lh_xml *xml, xmlNode *node) {
    node->_private = (void *)((uintptr_t)node->_private + 1);
    lh_xml_hold(xml);
}

void lh_xml_drop_node(lh_xml *xml, xmlNode *node) {
    node->_private = (void *)((uintptr_t)node->_private - 1);
    lh_xml_drop(xml);
}

/* The node behind `node` when all within `top` are visited, children first looked into; NULL = none. */
static xmlNode *next_within(const xmlNode *top, xmlNode *node) {
    if (node->type != XML_ENTITY_REF_NODE && node->children) return node->children;
    while (node != top && !node->next) node = node->parent;
    return node == top ? NULL : node->next;
}

static bool is_attribute_held(const xmlAttr *attribute) {
    if (attribute->_private) return true;
    for (const xmlNode *child = attribute->children; child; child = child->next) {
        if (child->_private) return true;
    }
    return false;
}

static bool is_held(xmlNode *top) {
    if (top->type == XML_ATTRIBUTE_NODE) return is_attribute_held((xmlAttr *)top);
    for (xmlNode *node = top; node; node = next_within(top, node)) {
        if (node->_private) return true;
        if (node->type != XML_ELEMENT_NODE) continue;
        for (const xmlAttr *attribute = node->properties; attribute; attribute = attribute->next) {
            if (is_attribute_held(attribute)) return true;
        }
    }
    return false;
}

static void remove_node(lh_xml *xml, xmlNode *node) {
    const bool is_attribute = node->type == XML_ATTRIBUTE_NODE;
    if (is_attribute && ((xmlAttr *)node)->atype == XML_ATTRIBUTE_ID) xmlRemoveID(xml->document, (xmlAttr *)node);
    const bool is_kept = is_held(node);
    /* Its namespaces may be declared by an element above, which may go before it does. */
    if (!is_kept || xmlDOMWrapRemoveNode(NULL, node->doc, node, 0) != 0) xmlUnlinkNode(node);
    if (!is_kept) {
        if (is_attribute) {
            xmlFreeProp((xmlAttr *)node);
        } else {
            xmlFreeNode(node);
        }
        return;
    }
    if (xml->removed_count == xml->removed_capacity) {
        xml->removed_capacity = xml->removed_capacity ? 2 * xml->removed_capacity : 16;
        xmlNode **grown = lh_try_realloc(xml->removed, xml->removed_capacity * sizeof(*grown));
        if (!grown) return; /* leaks one node rather than letting somebody read what is freed */
        xml->removed = grown;
    }
    xml->removed[xml->removed_count++] = node;
}

/* -- Parsing ------------------------------------------------------------------------------------------------------- */

typedef struct parse {
    char *message;
    bool has_failed;
} parse;

/* libxml2's texts end with a line feed. */
static void write_message(char *message, int line, int column, const char *text) {
    const size_t length = strcspn(text, "\n");
    const int shown = length < 200 ? (int)length : 200;
    if (line > 0 && column > 0) {
        snprintf(message, LH_XML_MESSAGE_BYTES, "line %d, column %d: %.*s", line, column, shown, text);
    } else if (line > 0) {
        snprintf(message, LH_XML_MESSAGE_BYTES, "line %d: %.*s", line, shown, text);
    } else {
        snprintf(message, LH_XML_MESSAGE_BYTES, "%.*s", shown, text);
    }
}

static void note_error(parse *p, int line, int column, const char *text) {
    if (p->has_failed) return; /* the first error says more than those that follow from it */
    p->has_failed = true;
    write_message(p->message, line, column, text);
}

static void on_error(void *user, xmlErrorPtr error) {
    const xmlParserCtxt *context = user;
    if (error->level < XML_ERR_ERROR) return;
    note_error(context->_private, error->line, error->int2, error->message ? error->message : "");
}

static void on_entity(void *user, const xmlChar *name, int type, const xmlChar *public_id, const xmlChar *system_id,
                      xmlChar *content) {
    xmlParserCtxt *context = user;
    if (type == XML_INTERNAL_GENERAL_ENTITY) {
        xmlSAX2EntityDecl(context, name, type, public_id, system_id, content);
        return;
    }
    note_error(context->_private, xmlSAX2GetLineNumber(context), xmlSAX2GetColumnNumber(context),
               "external and parameter entities are refused");
    xmlStopParser(context);
}

static xmlParserInputPtr on_resolve(void *user, const xmlChar *public_id, const xmlChar *system_id) {
    (void)user, (void)public_id, (void)system_id;
    return NULL;
}

static xmlDoc *parse_document(const char *text, size_t length, parse *p) {
    xmlParserCtxt *context = xmlNewParserCtxt();
    if (!context) return NULL;
    context->_private = p;
    context->sax->serror = on_error;
    context->sax->entityDecl = on_entity;
    context->sax->resolveEntity = on_resolve;
    xmlDoc *document = xmlCtxtReadMemory(context, text, (int)length, NULL, NULL,
                                         XML_PARSE_NONET | XML_PARSE_NOENT | XML_PARSE_COMPACT | XML_PARSE_BIG_LINES);
    xmlFreeParserCtxt(context);
    if (document && p->has_failed) {
        xmlFreeDoc(document);
        document = NULL;
    }
    return document;
}

lh_xml *lh_xml_parse(const char *text, size_t length, char message[LH_XML_MESSAGE_BYTES]) {
    parse p = {.message = message};
    snprintf(message, LH_XML_MESSAGE_BYTES, length > INT_MAX ? "document too large" : "not enough memory");
    xmlDoc *document = length > INT_MAX ? NULL : parse_document(text, length, &p);
    if (!document) return NULL;
    lh_xml *xml = lh_alloc(sizeof(*xml));
    *xml = (lh_xml){.document = document, .holders = 1};
    return xml;
}

xmlChar *lh_xml_text(const lh_xml *xml, size_t *length) {
    xmlChar *text = NULL;
    int bytes = 0;
    xmlDocDumpMemory(xml->document, &text, &bytes);
    *length = text ? (size_t)bytes : 0;
    return text;
}

/* -- Contents ------------------------------------------------------------------------------------------------------ */

static bool is_xml_char(uint32_t c) {
    return c >= 0x20 ? c != 0xfffe && c != 0xffff : c == '\t' || c == '\n' || c == '\r';
}

bool lh_xml_is_text(const char *text, size_t length) {
    const unsigned char *at = (const unsigned char *)text, *const end = at + length;
    while (at < end) {
        uint32_t c;
        const size_t n = lh_utf8_decode(at, (size_t)(end - at), &c);
        if (n == 0 || !is_xml_char(c)) return false;
        at += n;
    }
    return true;
}

bool lh_xml_is_name(const char *name, size_t length) {
    return length > 0 && strlen(name) == length && lh_xml_is_text(name, length) &&
           xmlValidateQName((const xmlChar *)name, 0) == 0;
}

xmlChar *lh_xml_contents(xmlNode *node) {
    xmlChar *contents = xmlNodeGetContent(node);
    return contents ? contents : xmlStrdup((const xmlChar *)"");
}

static bool has_children(const xmlNode *node) {
    return node->type == XML_ELEMENT_NODE || node->type == XML_ATTRIBUTE_NODE;
}

/* What a node without children cannot hold because its text would end there. */
static const char *why_not(const xmlNode *node, const char *text, size_t length) {
    switch (node->type) {
    case XML_TEXT_NODE:
    case XML_CDATA_SECTION_NODE: return NULL;
    case XML_COMMENT_NODE:
        if (memmem(text, length, "--", 2) || (length > 0 && text[length - 1] == '-')) return "comments have no \"--\"";
        return NULL;
    case XML_PI_NODE: return memmem(text, length, "?>", 2) ? "processing instructions have no \"?>\"" : NULL;
    default: return "this node has no contents to set";
    }
}

const char *lh_xml_set_contents(lh_xml *xml, xmlNode *node, const char *text, size_t length) {
    if (length > INT_MAX) return "text too long";
    if (!has_children(node)) {
        const char *reason = why_not(node, text, length);
        if (!reason) xmlNodeSetContentLen(node, (const xmlChar *)text, (int)length);
        return reason;
    }
    xmlAttr *id =
        node->type == XML_ATTRIBUTE_NODE && ((xmlAttr *)node)->atype == XML_ATTRIBUTE_ID ? (xmlAttr *)node : NULL;
    if (id) xmlRemoveID(xml->document, id);
    while (node->children) remove_node(xml, node->children);
    xmlNode *child = length > 0 ? xmlNewDocTextLen(xml->document, (const xmlChar *)text, (int)length) : NULL;
    if (length > 0 && !child) return "not enough memory";
    if (child) {
        child->parent = node;
        node->children = node->last = child;
    }
    if (id) {
        id->atype = XML_ATTRIBUTE_ID;
        xmlAddID(NULL, xml->document, (const xmlChar *)(child ? text : ""), id);
    }
    return NULL;
}

/* -- Attributes and children --------------------------------------------------------------------------------------- */

/* The namespace that the prefix of `name` means at `node`, and the name behind it; NULL and the whole name else. */
static xmlNs *namespace_of(xmlNode *node, const char *name, const char **local) {
    char prefix[256];
    const char *colon = strchr(name, ':');
    *local = name;
    if (!colon || (size_t)(colon - name) >= sizeof(prefix)) return NULL;
    memcpy(prefix, name, (size_t)(colon - name));
    prefix[colon - name] = '\0';
    xmlNs *namespace = xmlSearchNs(node->doc, node, (const xmlChar *)prefix);
    if (namespace) *local = colon + 1;
    return namespace;
}

xmlAttr *lh_xml_attribute(xmlNode *element, const char *name) {
    const char *local;
    const xmlNs *namespace = namespace_of(element, name, &local);
    xmlAttr *other = NULL; /* of that name, in a namespace that was not asked for */
    for (xmlAttr *attribute = element->properties; attribute; attribute = attribute->next) {
        if (strcmp((const char *)attribute->name, local) != 0) continue;
        if (!namespace && !attribute->ns) return attribute;
        if (namespace && attribute->ns && xmlStrEqual(attribute->ns->href, namespace->href)) return attribute;
        if (!namespace && !other) other = attribute;
    }
    return other;
}

bool lh_xml_set_attribute(lh_xml *xml, xmlNode *element, const char *name, const char *value, size_t length) {
    const char *local;
    xmlAttr *attribute = lh_xml_attribute(element, name);
    if (!attribute) {
        xmlNs *namespace = namespace_of(element, name, &local);
        attribute = xmlNewNsProp(element, namespace, (const xmlChar *)local, NULL);
    }
    return attribute && !lh_xml_set_contents(xml, (xmlNode *)attribute, value, length);
}

void lh_xml_remove_attribute(lh_xml *xml, xmlNode *element, const char *name) {
    xmlAttr *attribute = lh_xml_attribute(element, name);
    if (attribute) remove_node(xml, (xmlNode *)attribute);
}

xmlNode *lh_xml_add_child(xmlNode *element, const char *name) {
    const char *local;
    xmlNs *namespace = namespace_of(element, name, &local);
    xmlNode *child = xmlNewDocNode(element->doc, namespace ? namespace : element->ns, (const xmlChar *)local, NULL);
    return child ? xmlAddChild(element, child) : NULL;
}

const char *lh_xml_remove(lh_xml *xml, xmlNode *node) {
    switch (node->type) {
    case XML_ELEMENT_NODE:
    case XML_ATTRIBUTE_NODE:
    case XML_TEXT_NODE:
    case XML_CDATA_SECTION_NODE:
    case XML_COMMENT_NODE:
    case XML_PI_NODE:
    case XML_ENTITY_REF_NODE: break;
    default: return "this node cannot be removed";
    }
    if (node->parent) remove_node(xml, node);
    return NULL;
}

/* -- XPath --------------------------------------------------------------------------------------------------------- */

/* libxml2 has no texts for errors of XPath that it reports this way. */
static void on_xpath_error(void *user, xmlErrorPtr error) {
    char *message = user;
    const char *text = "syntax error";
    switch (error->code) {
    case XML_XPATH_UNKNOWN_FUNC_ERROR: text = "unknown function"; break;
    case XML_XPATH_UNDEF_VARIABLE_ERROR: text = "undefined variable"; break;
    case XML_XPATH_UNDEF_PREFIX_ERROR: text = "undefined namespace prefix"; break;
    case XML_XPATH_INVALID_ARITY: text = "wrong number of arguments"; break;
    case XML_XPATH_INVALID_OPERAND:
    case XML_XPATH_INVALID_TYPE: text = "wrong type"; break;
    case XML_XPATH_MEMORY_ERROR: text = "not enough memory"; break;
    default: break;
    }
    if (*message == '\0') snprintf(message, LH_XML_MESSAGE_BYTES, "%s at byte %d", text, error->int1);
}

static bool take_nodes(lh_xml *xml, const xmlNodeSet *set, lh_xml_result *result) {
    result->kind = LH_XML_NODES;
    if (!set || set->nodeNr == 0) return true;
    result->nodes = lh_try_alloc((size_t)set->nodeNr * sizeof(*result->nodes));
    if (!result->nodes) return false;
    for (int i = 0; i < set->nodeNr; i++) {
        xmlNode *node = set->nodeTab[i];
        if (node->type == XML_NAMESPACE_DECL) continue; /* no node: a copy that dies with the set */
        lh_xml_hold_node(xml, node);
        result->nodes[result->node_count++] = node;
    }
    return true;
}

static bool take_result(lh_xml *xml, const xmlXPathObject *object, lh_xml_result *result) {
    switch (object->type) {
    case XPATH_BOOLEAN:
        result->kind = LH_XML_BOOLEAN;
        result->boolean = object->boolval != 0;
        return true;
    case XPATH_NUMBER:
        result->kind = LH_XML_NUMBER;
        result->number = object->floatval;
        return true;
    case XPATH_STRING:
        result->kind = LH_XML_STRING;
        result->string = lh_alloc_copy((const char *)object->stringval, strlen((const char *)object->stringval));
        return true;
    default: xmlXPathNodeSetSort(object->nodesetval); return take_nodes(xml, object->nodesetval, result);
    }
}

bool lh_xml_xpath(lh_xml *xml, const char *expression, xmlNode *from, const lh_xml_prefix *prefixes,
                  size_t prefix_count, lh_xml_result *result, char message[LH_XML_MESSAGE_BYTES]) {
    *result = (lh_xml_result){.kind = LH_XML_NODES};
    *message = '\0';
    xmlXPathContext *context = xmlXPathNewContext(xml->document);
    xmlXPathObject *object = NULL;
    if (context) {
        context->error = on_xpath_error;
        context->userData = message;
        for (size_t i = 0; i < prefix_count; i++) {
            xmlXPathRegisterNs(context, (const xmlChar *)prefixes[i].prefix, (const xmlChar *)prefixes[i].uri);
        }
        context->node = from ? from : (xmlNode *)xml->document;
        object = xmlXPathEvalExpression((const xmlChar *)expression, context);
    }
    const bool ok = object && take_result(xml, object, result);
    if (!ok && *message == '\0') snprintf(message, LH_XML_MESSAGE_BYTES, "not enough memory");
    xmlXPathFreeObject(object);
    xmlXPathFreeContext(context);
    return ok;
}

void lh_xml_result_free(lh_xml *xml, lh_xml_result *result) {
    for (size_t i = 0; i < result->node_count; i++) lh_xml_drop_node(xml, result->nodes[i]);
    lh_free(result->nodes);
    lh_free(result->string);
    *result = (lh_xml_result){.kind = LH_XML_NODES};
}
