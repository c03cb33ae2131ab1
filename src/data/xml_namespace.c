#include "data/xml_namespace.h"

#include <assert.h>
#include <libxml/uri.h>
#include <string.h>

static const char xml_uri[] = "http://www.w3.org/XML/1998/namespace", xmlns_uri[] = "http://www.w3.org/2000/xmlns/";

static bool is_same(const xmlChar *a, const char *b) { return strcmp(a ? (const char *)a : "", b) == 0; }

bool lh_xml_is_declaration(const char *name, const char **prefix) {
    if (strncmp(name, "xmlns", 5) != 0 || (name[5] != '\0' && name[5] != ':')) return false;
    *prefix = name[5] ? name + 6 : name + 5;
    return true;
}

static xmlNs *find_own(const xmlNode *element, const char *prefix) {
    assert(element->type == XML_ELEMENT_NODE);
    xmlNs *own = element->nsDef;
    while (own && !is_same(own->prefix, prefix)) own = own->next;
    return own;
}

const char *lh_xml_declared(const xmlNode *element, const char *prefix) {
    const xmlNs *own = find_own(element, prefix);
    return own ? (own->href ? (const char *)own->href : "") : NULL;
}

bool lh_xml_namespace_of(xmlNode *node, const char *name, xmlNs **namespace, const char **local) {
    const char *colon = strchr(name, ':');
    *namespace = NULL;
    *local = name;
    if (!colon) return true;
    xmlChar *prefix = xmlStrndup((const xmlChar *)name, (int)(colon - name));
    if (prefix) *namespace = xmlSearchNs(node->doc, node, prefix);
    xmlFree(prefix);
    *local = colon + 1;
    return *namespace;
}

/* -- Where a declaration counts ------------------------------------------------------------------------------------ */

/* Is the prefix used at `element` or below, as far as a declaration of it there would count, for other names than
 * those of `uri`? NULL = for any. */
static bool is_used(const xmlNode *element, const char *prefix, const char *uri) {
    if (element->ns && is_same(element->ns->prefix, prefix) && !(uri && is_same(element->ns->href, uri))) return true;
    for (const xmlAttr *a = element->properties; a; a = a->next) {
        if (a->ns && is_same(a->ns->prefix, prefix) && !(uri && is_same(a->ns->href, uri))) return true;
    }
    for (const xmlNode *child = element->children; child; child = child->next) {
        if (child->type != XML_ELEMENT_NODE || find_own(child, prefix)) continue;
        if (is_used(child, prefix, uri)) return true;
    }
    return false;
}

/* Elements without a prefix are in the namespace that is declared without one. */
static void adopt(xmlNode *element, xmlNs *namespace) {
    if (!element->ns || !element->ns->prefix) element->ns = namespace;
    for (xmlNode *child = element->children; child; child = child->next) {
        if (child->type == XML_ELEMENT_NODE && !find_own(child, "")) adopt(child, namespace);
    }
}

static xmlNs *find_default(xmlNode *element) {
    xmlNs *namespace = element ? xmlSearchNs(element->doc, element, NULL) : NULL;
    return namespace && namespace->href && namespace->href[0] ? namespace : NULL;
}

static int count_above(const xmlNode *element) {
    int count = 0;
    for (; element && element->type == XML_ELEMENT_NODE; element = element->parent) {
        for (const xmlNs *own = element->nsDef; own; own = own->next) count++;
    }
    return count;
}

/* The largest number of declarations from `element` down to one that it contains. */
static int count_below(const xmlNode *element) {
    int own_count = 0, most = 0;
    for (const xmlNs *own = element->nsDef; own; own = own->next) own_count++;
    for (const xmlNode *child = element->children; child; child = child->next) {
        const int count = child->type == XML_ELEMENT_NODE ? count_below(child) : 0;
        if (count > most) most = count;
    }
    return own_count + most;
}

/* -- Declaring ----------------------------------------------------------------------------------------------------- */

static bool is_uri(const char *text) {
    xmlURI *uri = xmlParseURI(text);
    xmlFreeURI(uri);
    return uri;
}

/* What no document may declare (Namespaces in XML, section 3). */
static const char *why_not(const char *prefix, const char *uri) {
    if (strcmp(prefix, "xmlns") == 0) return "the prefix xmlns cannot be declared";
    if ((strcmp(prefix, "xml") == 0) != (strcmp(uri, xml_uri) == 0)) return "that is the namespace of the prefix xml";
    if (strcmp(uri, xmlns_uri) == 0) return "that is the namespace of the prefix xmlns";
    if (prefix[0] && !uri[0]) return "a prefix needs a namespace";
    return !uri[0] || is_uri(uri) ? NULL : "not a URI";
}

const char *lh_xml_declare(xmlNode *element, const char *prefix, const char *uri) {
    const char *reason = why_not(prefix, uri);
    if (reason || strcmp(prefix, "xml") == 0) return reason;
    xmlNs *own = find_own(element, prefix);
    if (own && is_same(own->href, uri)) return NULL;
    if (prefix[0] && is_used(element, prefix, uri)) return "the prefix is in use for another namespace";
    if (!own && count_above(element->parent) + count_below(element) >= LH_XML_NAMESPACES_MAX) {
        return "too many namespaces (256)";
    }
    if (own) {
        xmlChar *href = xmlStrdup((const xmlChar *)uri);
        if (!href) return "not enough memory";
        xmlFree((xmlChar *)own->href);
        own->href = href;
    } else {
        own = xmlNewNs(element, (const xmlChar *)uri, prefix[0] ? (const xmlChar *)prefix : NULL);
        if (!own) return "not enough memory";
    }
    if (!prefix[0]) adopt(element, uri[0] ? own : NULL);
    return NULL;
}

/* The document's own list begins with the prefix xml, which libxml2 relies on. */
static void keep(xmlDoc *document, xmlNs *namespace) {
    if (!document->oldNs) xmlSearchNs(document, (xmlNode *)document, (const xmlChar *)"xml");
    if (!document->oldNs) return; /* no memory: leaks one rather than letting somebody read what is freed */
    namespace->next = document->oldNs->next;
    document->oldNs->next = namespace;
}

const char *lh_xml_undeclare(xmlNode *element, const char *prefix) {
    xmlNs *own = find_own(element, prefix);
    if (!own) return NULL;
    if (prefix[0] && is_used(element, prefix, NULL)) return "the prefix is in use";
    xmlNs **link = &element->nsDef;
    while (*link != own) link = &(*link)->next;
    *link = own->next;
    keep(element->doc, own);
    if (!prefix[0]) adopt(element, find_default(element));
    return NULL;
}

void lh_xml_keep_declarations(xmlNode *top) {
    if (top->type != XML_ELEMENT_NODE) return;
    while (top->nsDef) {
        xmlNs *own = top->nsDef;
        top->nsDef = own->next;
        keep(top->doc, own);
    }
    for (xmlNode *child = top->children; child; child = child->next) lh_xml_keep_declarations(child);
}
