/* Namespace declarations of an XML document that is changed: what is written must be what a reader finds.
 *
 * libxml2 keeps a declaration and the elements and attributes that it names apart: changing one does not change the
 * other, and the text that comes out may not be well-formed, or mean another name. So a prefix is declared by setting
 * the attribute "xmlns:prefix", as in the text; elements without a prefix follow "xmlns"; and what would change the
 * meaning of a prefix in use is refused.
 *
 * Owner: the document. Thread: the document's. Errors: NULL, or why not: a constant. */
#pragma once
#include <libxml/tree.h>
#include <stdbool.h>
#include <stddef.h>

enum { LH_XML_NAMESPACES_MAX = 256 }; /* that count at one place: each name with a prefix is looked up among them */

/* Is it "xmlns", or "xmlns:" and a prefix? *prefix: "" for the first. */
bool lh_xml_is_declaration(const char *name, const char **prefix);

/* What `element` itself declares for the prefix, "" = none; NULL = nothing. */
const char *lh_xml_declared(const xmlNode *element, const char *prefix);

/* Declares it, or changes what was declared. */
const char *lh_xml_declare(xmlNode *element, const char *prefix, const char *uri);

/* Takes the element's own declaration back, if there is one. */
const char *lh_xml_undeclare(xmlNode *element, const char *prefix);

/* The namespace that the prefix of `name` has at `node`, NULL = it has no prefix. *local: the name behind it. False:
 * the prefix has none. */
bool lh_xml_namespace_of(xmlNode *node, const char *name, xmlNs **namespace, const char **local);

/* The declarations within `top`, which is to be freed, live on as long as the document: what was taken out before may
 * be named by them. */
void lh_xml_keep_declarations(xmlNode *top);
