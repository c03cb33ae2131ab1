/* XML documents and XPath on libxml2, made safe to hold piecemeal.
 *
 * A document lives as long as somebody holds it: who keeps a node holds the node, and with it the document. A node that
 * is taken out of its document while somebody holds it, or a node within it, stays readable until the document's end.
 *
 * What documents may ask for is bounded: nothing is fetched, neither files nor network; entities may be declared as
 * text and are replaced while parsing, up to libxml2's limits; external and parameter entities are refused; the rest is
 * below. What is put into a document keeps to the same bounds, so that its text can be read again.
 *
 * Owner: lh_xml_hold and lh_xml_drop count the holders; a parsed document is held once.
 * Thread: one at a time per document.
 * Errors: NULL or false, with a message. */
#pragma once
#include <libxml/tree.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct lh_xml lh_xml;

enum {
    LH_XML_MESSAGE_BYTES = 256,
    LH_XML_DEPTH_MAX = 256,       /* elements in one another */
    LH_XML_ATTRIBUTES_MAX = 1000, /* of an element: libxml2 compares each with all before it */
    LH_XML_NAME_MAX = 50000,      /* bytes; libxml2's, as the next */
    LH_XML_TEXT_MAX = 10000000,   /* bytes of an attribute, or of a text between two tags */
};

/* Once per thread. */
void lh_xml_start(void);

/* NULL: `message` says why, with the line. */
lh_xml *lh_xml_parse(const char *text, size_t length, char message[LH_XML_MESSAGE_BYTES]);

void lh_xml_hold(lh_xml *xml);
void lh_xml_drop(lh_xml *xml);

xmlDoc *lh_xml_document(const lh_xml *xml);

/* The document as text, in the encoding that it names; freed with xmlFree. NULL = no memory. */
xmlChar *lh_xml_text(const lh_xml *xml, size_t *length);

/* -- Nodes --------------------------------------------------------------------------------------------------------- */

/* Elements, texts, attributes, comments …; holding one holds its document too. */
void lh_xml_hold_node(lh_xml *xml, xmlNode *node);
void lh_xml_drop_node(lh_xml *xml, xmlNode *node);

/* Valid UTF-8 of characters that XML allows. */
bool lh_xml_is_text(const char *text, size_t length);

/* A name, perhaps with a prefix, not too long. */
bool lh_xml_is_name(const char *name, size_t length);

/* The text of the node and all within, freed with xmlFree. NULL = no memory. */
xmlChar *lh_xml_contents(xmlNode *node);

/* Takes the node, with all within, out of its document; one that is out stays so. NULL, or why it cannot be. */
const char *lh_xml_remove(lh_xml *xml, xmlNode *node);

/* Replaces all within by `text`, which lh_xml_is_text. NULL, or why that node cannot have it. */
const char *lh_xml_set_contents(lh_xml *xml, xmlNode *node, const char *text, size_t length);

/* An element's attribute; "p:name" is looked up in the namespace that p means there. NULL = none. */
xmlAttr *lh_xml_attribute(xmlNode *element, const char *name);

/* Sets it; `name` lh_xml_is_name, `value` lh_xml_is_text. "xmlns" and "xmlns:p" declare. NULL, or why not. */
const char *lh_xml_set_attribute(lh_xml *xml, xmlNode *element, const char *name, const char *value, size_t length);

/* NULL, or why not: it is a declaration that is in use. */
const char *lh_xml_remove_attribute(lh_xml *xml, xmlNode *element, const char *name);

/* A new last child, in the namespace that its prefix means there, without one in its parent's. NULL: *reason. */
xmlNode *lh_xml_add_child(xmlNode *element, const char *name, const char **reason);

/* -- XPath 1.0 ----------------------------------------------------------------------------------------------------- */

typedef struct lh_xml_result {
    enum { LH_XML_NODES, LH_XML_NUMBER, LH_XML_STRING, LH_XML_BOOLEAN } kind;
    xmlNode **nodes; /* in document order, each held; namespaces are left out */
    size_t node_count;
    double number;
    bool boolean;
    char *string;
} lh_xml_result;

/* A prefix and what it means in an expression. */
typedef struct lh_xml_prefix {
    const char *prefix, *uri;
} lh_xml_prefix;

/* `from`: the expression's context, NULL = the document. On success the result is to be given back. */
bool lh_xml_xpath(lh_xml *xml, const char *expression, xmlNode *from, const lh_xml_prefix *prefixes,
                  size_t prefix_count, lh_xml_result *result, char message[LH_XML_MESSAGE_BYTES]);

void lh_xml_result_free(lh_xml *xml, lh_xml_result *result);
