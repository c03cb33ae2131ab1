/* Every node has a field for its user, _private: here it counts who holds the node. What is removed is freed at once if
 * nobody holds anything of it, else it is kept in `removed` until the document ends. */
#include "data/xml.h"

#include <assert.h>
#include <iconv.h>
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/valid.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "data/utf8.h"
#include "data/xml_namespace.h"

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

void lh_xml_hold(lh_xml *xml) {
    assert(xml->holders > 0);
    xml->holders++;
}

void lh_xml_drop(lh_xml *xml) {
    assert(xml->holders > 0);
    if (--xml->holders > 0) return;
    for (size_t i = 0; i < xml->removed_count; i++) {
        xmlNode *node = xml->removed[i];
        assert(!node->_private);
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
    assert(node->doc == xml->document);
    node->_private = (void *)((uintptr_t)node->_private + 1);
    lh_xml_hold(xml);
}

void lh_xml_drop_node(lh_xml *xml, xmlNode *node) {
    assert(node->doc == xml->document && node->_private);
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
    assert(node->parent && node->doc == xml->document);
    const bool is_attribute = node->type == XML_ATTRIBUTE_NODE;
    if (is_attribute && ((xmlAttr *)node)->atype == XML_ATTRIBUTE_ID) xmlRemoveID(xml->document, (xmlAttr *)node);
    const bool is_kept = is_held(node);
    /* Its namespaces may be declared by an element above, which may go before it does. */
    if (!is_kept || xmlDOMWrapRemoveNode(NULL, node->doc, node, 0) != 0) xmlUnlinkNode(node);
    if (!is_kept) {
        if (is_attribute) {
            xmlFreeProp((xmlAttr *)node);
        } else {
            if (xml->removed_count > 0) lh_xml_keep_declarations(node);
            xmlFreeNode(node);
        }
        return;
    }
    if (xml->removed_count == xml->removed_capacity) {
        const size_t capacity = xml->removed_capacity ? 2 * xml->removed_capacity : 16;
        xmlNode **grown = lh_try_realloc(xml->removed, capacity * sizeof(*grown));
        if (!grown) return; /* leaks one node rather than letting somebody read what is freed */
        xml->removed = grown;
        xml->removed_capacity = capacity;
    }
    assert(xml->removed_count < xml->removed_capacity);
    xml->removed[xml->removed_count++] = node;
}

/* -- Parsing ------------------------------------------------------------------------------------------------------- */

enum {
    ATTRIBUTE_SLOTS = 5, /* of libxml2's array of attributes, for each */
    NAMESPACE_SLOTS = 2,
    DECLARED_ATTRIBUTES_MAX = 10000, /* by <!ATTLIST> */
    BYTES_PER_DEFAULT = 4            /* of the document, for each attribute that has the value of its <!ATTLIST> */
};

typedef struct parse {
    xmlParserCtxt *context;
    const char *text; /* not handed over yet */
    size_t length;
    size_t defaults_left;
    int declared_count;
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

/* What only makes a document invalid, as an id that is there twice, is not looked for. */
static void on_error(void *user, xmlErrorPtr error) {
    const xmlParserCtxt *context = user;
    if (error->level < XML_ERR_ERROR || error->domain == XML_FROM_VALID || error->code == XML_DTD_XMLID_VALUE) return;
    note_error(context->_private, error->line, error->int2, error->message ? error->message : "");
}

static void refuse(xmlParserCtxt *context, const char *text) {
    note_error(context->_private, xmlSAX2GetLineNumber(context), xmlSAX2GetColumnNumber(context), text);
}

static void on_entity(void *user, const xmlChar *name, int type, const xmlChar *public_id, const xmlChar *system_id,
                      xmlChar *content) {
    xmlParserCtxt *context = user;
    if (type == XML_INTERNAL_GENERAL_ENTITY) {
        xmlSAX2EntityDecl(context, name, type, public_id, system_id, content);
        return;
    }
    refuse(context, "external and parameter entities are refused");
    xmlStopParser(context);
}

/* -- Bounds of what costs more than its length -- */

static void refuse_attributes(xmlParserCtxt *context) { refuse(context, "more than 1000 attributes in one element"); }

static void refuse_namespaces(xmlParserCtxt *context) { refuse(context, "more than 256 namespaces in one place"); }

/* Attributes that <!ATTLIST> gives an element cost time wherever it occurs. */
static void on_attribute_declaration(void *user, const xmlChar *element, const xmlChar *name, int type, int kind,
                                     const xmlChar *value, xmlEnumerationPtr values) {
    xmlParserCtxt *context = user;
    parse *p = context->_private;
    if (++p->declared_count <= DECLARED_ATTRIBUTES_MAX) {
        xmlSAX2AttributeDecl(context, element, name, type, kind, value, values);
        return;
    }
    xmlFreeEnumeration(values);
    refuse(context, "more than 10000 attributes declared");
    xmlStopParser(context);
}

static void on_element(void *user, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int namespace_count,
                       const xmlChar **namespaces, int attribute_count, int default_count, const xmlChar **attributes) {
    xmlParserCtxt *context = user;
    parse *p = context->_private;
    if (attribute_count > LH_XML_ATTRIBUTES_MAX || (size_t)default_count > p->defaults_left) {
        refuse_attributes(context);
    } else if (context->nsNr > NAMESPACE_SLOTS * LH_XML_NAMESPACES_MAX) {
        refuse_namespaces(context);
    } else {
        p->defaults_left -= (size_t)default_count;
        xmlSAX2StartElementNs(context, name, prefix, uri, namespace_count, namespaces, attribute_count, default_count,
                              attributes);
        return;
    }
    xmlStopParser(context);
}

/* libxml2 looks for equal attributes when it has read all of a tag. So the text is handed over piece by piece, and ends
 * for it where a tag has grown too large: twice the bound, because it doubles its array. */
static int read_text(void *user, char *to, int room) {
    parse *p = user;
    const size_t n = p->length < (size_t)room ? p->length : (size_t)room;
    if (p->context->maxatts > 2 * ATTRIBUTE_SLOTS * (LH_XML_ATTRIBUTES_MAX + 1)) {
        refuse_attributes(p->context);
    } else if (p->context->nsNr > NAMESPACE_SLOTS * LH_XML_NAMESPACES_MAX) {
        refuse_namespaces(p->context);
    }
    if (p->has_failed) return -1;
    memcpy(to, p->text, n);
    p->text += n;
    p->length -= n;
    return (int)n;
}

static xmlParserInputPtr on_resolve(void *user, const xmlChar *public_id, const xmlChar *system_id) {
    (void)user, (void)public_id, (void)system_id;
    return NULL;
}

static xmlDoc *parse_document(parse *p) {
    xmlParserCtxt *context = p->context = xmlNewParserCtxt();
    if (!context) return NULL;
    context->_private = p;
    context->sax->serror = on_error;
    context->sax->entityDecl = on_entity;
    context->sax->resolveEntity = on_resolve;
    context->sax->attributeDecl = on_attribute_declaration;
    context->sax->startElementNs = on_element;
    xmlDoc *document = xmlCtxtReadIO(context, read_text, NULL, p, NULL, NULL,
                                     XML_PARSE_NONET | XML_PARSE_NOENT | XML_PARSE_COMPACT | XML_PARSE_BIG_LINES);
    xmlFreeParserCtxt(context);
    if (document && p->has_failed) {
        xmlFreeDoc(document);
        document = NULL;
    }
    return document;
}

lh_xml *lh_xml_parse(const char *text, size_t length, char message[LH_XML_MESSAGE_BYTES]) {
    parse p = {.text = text,
               .length = length,
               .defaults_left = LH_XML_ATTRIBUTES_MAX + length / BYTES_PER_DEFAULT,
               .message = message};
    snprintf(message, LH_XML_MESSAGE_BYTES, length > INT_MAX ? "document too large" : "not enough memory");
    xmlDoc *document = length > INT_MAX ? NULL : parse_document(&p);
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
    return length > 0 && length <= LH_XML_NAME_MAX && strlen(name) == length && lh_xml_is_text(name, length) &&
           xmlValidateQName((const xmlChar *)name, 0) == 0;
}

xmlChar *lh_xml_contents(xmlNode *node) {
    xmlChar *contents = xmlNodeGetContent(node);
    return contents ? contents : xmlStrdup((const xmlChar *)"");
}

static bool has_children(const xmlNode *node) {
    return node->type == XML_ELEMENT_NODE || node->type == XML_ATTRIBUTE_NODE;
}

/* Has the document's encoding all characters of the text? Where no reference can stand for one, it must. */
static bool is_writable(const xmlDoc *document, const char *text, size_t length) {
    const char *encoding = document ? (const char *)document->encoding : NULL;
    size_t i = 0;
    while (i < length && (unsigned char)text[i] < 0x80) i++;
    if (i == length || !encoding) return true;
    iconv_t converter = iconv_open(encoding, "UTF-8");
    if (converter == (iconv_t)-1) return true; /* libxml2 knows it under another name: only ASCII's and Unicode's */
    bool is_good = true;
    for (char *from = (char *)(uintptr_t)text; length > 0 && is_good;) {
        char piece[256], *to = piece;
        size_t room = sizeof(piece);
        is_good = iconv(converter, &from, &length, &to, &room) != (size_t)-1 || errno == E2BIG;
    }
    iconv_close(converter);
    return is_good;
}

static const char not_in_encoding[] = "the document's encoding has no such character";

/* What a node without children cannot hold because its text would end there. */
static const char *why_not(const xmlNode *node, const char *text, size_t length) {
    switch (node->type) {
    case XML_TEXT_NODE:
    case XML_CDATA_SECTION_NODE: return NULL;
    case XML_COMMENT_NODE:
        if (memmem(text, length, "--", 2) || (length > 0 && text[length - 1] == '-')) return "comments have no \"--\"";
        return is_writable(node->doc, text, length) ? NULL : not_in_encoding;
    case XML_PI_NODE:
        if (memmem(text, length, "?>", 2)) return "processing instructions have no \"?>\"";
        return is_writable(node->doc, text, length) ? NULL : not_in_encoding;
    default: return "this node has no contents to set";
    }
}

/* Bytes that an attribute's text takes at most in the document: "&quot;", and "&#x4E2D;" for three. */
static size_t written_length(const char *text, size_t length) {
    size_t written = 0;
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)text[i];
        written += c >= 0x80 ? 4 : c < 0x20 || strchr("\"&<>", c) ? 6 : 1;
    }
    return written;
}

const char *lh_xml_set_contents(lh_xml *xml, xmlNode *node, const char *text, size_t length) {
    const size_t written = node->type == XML_ATTRIBUTE_NODE ? written_length(text, length) : length;
    if (written > LH_XML_TEXT_MAX) return "text of more than 10 MB";
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

xmlAttr *lh_xml_attribute(xmlNode *element, const char *name) {
    const char *local;
    xmlNs *namespace;
    if (!lh_xml_namespace_of(element, name, &namespace, &local)) return NULL;
    xmlAttr *other = NULL; /* of that name, in a namespace that was not asked for */
    for (xmlAttr *attribute = element->properties; attribute; attribute = attribute->next) {
        if (strcmp((const char *)attribute->name, local) != 0) continue;
        if (!namespace && !attribute->ns) return attribute;
        if (namespace && attribute->ns && xmlStrEqual(attribute->ns->href, namespace->href)) return attribute;
        if (!namespace && !other) other = attribute;
    }
    return other;
}

static xmlAttr *add_attribute(xmlNode *element, const char *name, const char **reason) {
    const char *local;
    xmlNs *namespace;
    int count = 0;
    for (const xmlAttr *attribute = element->properties; attribute; attribute = attribute->next) count++;
    if (!lh_xml_namespace_of(element, name, &namespace, &local)) {
        *reason = "the prefix is not declared";
    } else if (count >= LH_XML_ATTRIBUTES_MAX) {
        *reason = "too many attributes (1000)";
    } else if (!is_writable(element->doc, name, strlen(name))) {
        *reason = not_in_encoding;
    } else {
        *reason = "not enough memory";
        return xmlNewNsProp(element, namespace, (const xmlChar *)local, NULL);
    }
    return NULL;
}

const char *lh_xml_set_attribute(lh_xml *xml, xmlNode *element, const char *name, const char *value, size_t length) {
    assert(element->type == XML_ELEMENT_NODE && element->doc == xml->document);
    const char *prefix, *reason = NULL;
    if (length > LH_XML_TEXT_MAX) return "text of more than 10 MB";
    if (lh_xml_is_declaration(name, &prefix)) return lh_xml_declare(element, prefix, value);
    xmlAttr *attribute = lh_xml_attribute(element, name);
    if (!attribute) attribute = add_attribute(element, name, &reason);
    return attribute ? lh_xml_set_contents(xml, (xmlNode *)attribute, value, length) : reason;
}

const char *lh_xml_remove_attribute(lh_xml *xml, xmlNode *element, const char *name) {
    const char *prefix;
    if (lh_xml_is_declaration(name, &prefix)) return lh_xml_undeclare(element, prefix);
    xmlAttr *attribute = lh_xml_attribute(element, name);
    if (attribute) remove_node(xml, (xmlNode *)attribute);
    return NULL;
}

static int depth_of(const xmlNode *element) {
    int depth = 0;
    for (; element && element->type == XML_ELEMENT_NODE; element = element->parent) depth++;
    return depth;
}

xmlNode *lh_xml_add_child(xmlNode *element, const char *name, const char **reason) {
    assert(element->type == XML_ELEMENT_NODE);
    const char *local;
    xmlNs *namespace;
    if (!lh_xml_namespace_of(element, name, &namespace, &local)) {
        *reason = "the prefix is not declared";
    } else if (depth_of(element) >= LH_XML_DEPTH_MAX) {
        *reason = "nested too deeply (256)";
    } else if (!is_writable(element->doc, name, strlen(name))) {
        *reason = not_in_encoding;
    } else {
        *reason = "not enough memory";
        if (!namespace) namespace = element->ns;
        xmlNode *child = xmlNewDocNode(element->doc, namespace, (const xmlChar *)local, NULL);
        return child ? xmlAddChild(element, child) : NULL;
    }
    return NULL;
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
        result->string = strdup((const char *)object->stringval);
        return result->string;
    default: xmlXPathNodeSetSort(object->nodesetval); return take_nodes(xml, object->nodesetval, result);
    }
}

bool lh_xml_xpath(lh_xml *xml, const char *expression, xmlNode *from, const lh_xml_prefix *prefixes,
                  size_t prefix_count, lh_xml_result *result, char message[LH_XML_MESSAGE_BYTES]) {
    assert(!from || from->doc == xml->document);
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
