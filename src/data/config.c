#include "data/config.h"

#include <assert.h>
#include <errno.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/word.h"
#include "data/xml.h"

enum { INCLUDES_DEEP_MAX = 8, FILE_MAX = 64 * 1024 * 1024, KEY_MAX = 256 };

struct lh_config {
    lh_xml *xml;
};

static xmlDoc *document_of(const lh_config *config) { return lh_xml_document(config->xml); }

/* -- Values -------------------------------------------------------------------------------------------------------- */

/* The length of what stands before ":{", which has no braces and no white space. */
static size_t default_length_at(const char *text) {
    const size_t length = strcspn(text, "{} \t\r\n");
    return text[length] == '{' && length > 0 && text[length - 1] == ':' ? length - 1 : length;
}

/* Reads `ENV:default:{KEY}` at `text`: its length, 0 = that is not there. The default may have colons. */
static size_t parse_reference(const char *text, const char **default_text, size_t *default_length, const char **key,
                              size_t *key_length) {
    static const char begin[] = "ENV:";
    if (strncmp(text, begin, sizeof(begin) - 1) != 0) return 0;
    const char *at = text + sizeof(begin) - 1;
    *default_text = at;
    *default_length = default_length_at(at);
    at += *default_length;
    if (at[0] != ':' || at[1] != '{') return 0;
    *key = at + 2;
    *key_length = strcspn(*key, "}");
    if (!(*key)[*key_length] || *key_length == 0 || *key_length >= KEY_MAX) return 0;
    return (size_t)(*key + *key_length + 1 - text);
}

/* Of an empty buffer, which has no block, too. */
static const char *bytes_of(const lh_buffer *buffer) { return buffer->length > 0 ? lh_buffer_bytes(buffer) : ""; }

/* Appends what the reference stands for; returns its length, 0 = there is none. */
static size_t append_reference(const char *text, lh_buffer *out, int *rv) {
    const char *default_text, *key;
    size_t default_length, key_length;
    const size_t length = parse_reference(text, &default_text, &default_length, &key, &key_length);
    if (length == 0) return 0;
    char name[KEY_MAX];
    assert(key_length < sizeof(name));
    memcpy(name, key, key_length);
    name[key_length] = 0;
    const char *value = getenv(name);
    *rv |= value ? lh_buffer_append(out, value, strlen(value)) : lh_buffer_append(out, default_text, default_length);
    return length;
}

static int substitute(const char *text, lh_buffer *out) {
    int rv = 0;
    lh_buffer whole = {0};
    const size_t length = append_reference(text, &whole, &rv);
    if (length > 0 && !text[length]) {
        rv |= lh_buffer_append(out, bytes_of(&whole), whole.length);
        lh_buffer_reset(&whole);
        return rv;
    }
    lh_buffer_reset(&whole);
    while (*text && rv == 0) {
        const char *open = strstr(text, "{{");
        if (!open) break;
        rv |= lh_buffer_append(out, text, (size_t)(open - text));
        lh_buffer value = {0};
        const size_t inner = append_reference(open + 2, &value, &rv);
        if (inner > 0 && strncmp(open + 2 + inner, "}}", 2) == 0) {
            rv |= lh_buffer_append(out, bytes_of(&value), value.length);
            text = open + 2 + inner + 2;
        } else {
            rv |= lh_buffer_append(out, open, 2);
            text = open + 2;
        }
        lh_buffer_reset(&value);
    }
    return rv | lh_buffer_append(out, text, strlen(text));
}

/* The substituted value, freed with lh_free; NULL = no memory. */
static char *value_of(const char *text) {
    lh_buffer out = {0};
    char *value = substitute(text, &out) == 0 ? lh_try_alloc(out.length + 1) : NULL;
    if (value) {
        memcpy(value, bytes_of(&out), out.length);
        value[out.length] = '\0';
    }
    lh_buffer_reset(&out);
    return value;
}

static char *value_of_node(const xmlNode *node) {
    xmlChar *content = xmlNodeGetContent(node);
    char *value = value_of(content ? (const char *)content : "");
    xmlFree(content);
    return value;
}

/* -- XPath --------------------------------------------------------------------------------------------------------- */

static void on_xpath_error(void *message, xmlErrorPtr error) {
    char *text = message;
    snprintf(text, LH_CONFIG_MESSAGE_BYTES, "%s", error->message ? error->message : "not an expression");
    text[strcspn(text, "\n")] = 0;
}

/* NULL with the message. Node sets are in document order. */
static xmlXPathObject *evaluate(const lh_config *config, const char *path, xmlNode *from,
                                char message[LH_CONFIG_MESSAGE_BYTES]) {
    snprintf(message, LH_CONFIG_MESSAGE_BYTES, "not enough memory");
    xmlXPathContext *context = xmlXPathNewContext(document_of(config));
    if (!context) return NULL;
    context->error = on_xpath_error;
    context->userData = message;
    context->node = from ? from : (xmlNode *)document_of(config);
    xmlXPathObject *object = xmlXPathEvalExpression((const xmlChar *)path, context);
    xmlXPathFreeContext(context);
    if (object && object->type == XPATH_NODESET && object->nodesetval) xmlXPathNodeSetSort(object->nodesetval);
    return object;
}

static int count_nodes(const xmlXPathObject *object) {
    return object->type == XPATH_NODESET && object->nodesetval ? object->nodesetval->nodeNr : 0;
}

lh_config_result lh_config_get(const lh_config *config, const char *path, char **value,
                               char message[LH_CONFIG_MESSAGE_BYTES]) {
    xmlXPathObject *object = evaluate(config, path, NULL, message);
    if (!object) return LH_CONFIG_BAD;
    lh_config_result result = LH_CONFIG_DONE;
    if (object->type == XPATH_NODESET) {
        const int count = count_nodes(object);
        *value = count > 0 ? value_of_node(object->nodesetval->nodeTab[count - 1]) : NULL;
        if (count == 0) result = LH_CONFIG_NONE;
    } else {
        xmlChar *text = xmlXPathCastToString(object);
        *value = text ? value_of((const char *)text) : NULL;
        xmlFree(text);
    }
    xmlXPathFreeObject(object);
    if (result == LH_CONFIG_DONE && !*value) {
        snprintf(message, LH_CONFIG_MESSAGE_BYTES, "not enough memory");
        return LH_CONFIG_BAD;
    }
    assert((result == LH_CONFIG_DONE) == (*value != NULL));
    return result;
}

static lh_config_result get_child(const lh_config *config, xmlNode *from, const char *child, char **value,
                                  char message[LH_CONFIG_MESSAGE_BYTES]) {
    xmlXPathObject *object = evaluate(config, child, from, message);
    if (!object) return LH_CONFIG_BAD;
    const int count = count_nodes(object);
    if (count > 0) *value = value_of_node(object->nodesetval->nodeTab[count - 1]);
    xmlXPathFreeObject(object);
    return count > 0 ? LH_CONFIG_DONE : LH_CONFIG_INCOMPLETE;
}

lh_config_result lh_config_list(const lh_config *config, const char *base, const char *child, char ***values,
                                size_t *count, char message[LH_CONFIG_MESSAGE_BYTES]) {
    xmlXPathObject *object = evaluate(config, base, NULL, message);
    if (!object) return LH_CONFIG_BAD;
    const size_t matches = (size_t)count_nodes(object);
    lh_config_result result = matches > 0 ? LH_CONFIG_DONE : LH_CONFIG_NONE;
    *values = lh_alloc((matches + 1) * sizeof(char *));
    *count = 0;
    for (size_t i = 0; i < matches && result == LH_CONFIG_DONE; i++) {
        result = get_child(config, object->nodesetval->nodeTab[i], child, &(*values)[i], message);
        if (result == LH_CONFIG_DONE) (*count)++;
    }
    xmlXPathFreeObject(object);
    return result;
}

void lh_config_each_section(const lh_config *config, void (*visit)(const char *name, void *context), void *context) {
    const xmlNode *root = xmlDocGetRootElement(document_of(config));
    for (const xmlNode *child = root ? root->children : NULL; child; child = child->next) {
        if (child->type == XML_ELEMENT_NODE) visit((const char *)child->name, context);
    }
}

/* -- Changing ------------------------------------------------------------------------------------------------------ */

/* Where the last step of a path begins, or NULL: there is only one. */
static const char *find_last_step(const char *path) {
    const char *last = NULL;
    int depth = 0;
    for (const char *at = path; *at; at++) {
        if (*at == '"' || *at == '\'') {
            at = strchr(at + 1, *at);
            if (!at) break;
        } else if (*at == '[' || *at == '(') {
            depth++;
        } else if (*at == ']' || *at == ')') {
            depth--;
        } else if (*at == '/' && depth == 0) {
            last = at;
        }
    }
    return last ? last + 1 : NULL;
}

/* What the nodes' first one is or, `is_above`, what it lies in, if that is an element. */
static xmlNode *first_element(const xmlXPathObject *object, bool is_above) {
    xmlNode *node = count_nodes(object) > 0 ? object->nodesetval->nodeTab[0] : NULL;
    if (node && is_above) node = node->parent;
    return node && node->type == XML_ELEMENT_NODE ? node : NULL;
}

/* The first element that the path up to `step` selects; of "//name" what the first match lies in. NULL = none, or
 * *is_bad. */
static xmlNode *find_parent(const lh_config *config, const char *path, const char *step, bool *is_bad,
                            char message[LH_CONFIG_MESSAGE_BYTES]) {
    assert(step > path && step[-1] == '/');
    const size_t length = (size_t)(step - path) - 1;
    const bool is_anywhere = length > 0 && path[length - 1] == '/';
    char *parent_path = is_anywhere ? lh_alloc_copy(path, strlen(path))
                                    : lh_alloc_copy(length > 0 ? path : "/", length > 0 ? length : 1);
    xmlXPathObject *object = evaluate(config, parent_path, NULL, message);
    lh_free(parent_path);
    *is_bad = !object;
    if (!object) return NULL;
    xmlNode *parent = first_element(object, is_anywhere);
    xmlXPathFreeObject(object);
    return parent;
}

/* Is it one of the nodes, or within one? A union of paths may select what another of them is put into. */
static bool is_within(xmlNode *node, xmlNodeSet *nodes) {
    for (; node; node = node->parent) {
        if (xmlXPathNodeSetContains(nodes, node)) return true;
    }
    return false;
}

/* Last first: what lies within another goes before it. */
static void remove_nodes(xmlNodeSet *nodes) {
    for (int i = nodes->nodeNr - 1; i >= 0; i--) {
        xmlNode *node = nodes->nodeTab[i];
        if (node->type == XML_NAMESPACE_DECL || node->type == XML_DOCUMENT_NODE) continue;
        nodes->nodeTab[i] = NULL; /* the set must not look at it any more */
        if (node->type == XML_ATTRIBUTE_NODE) {
            xmlRemoveProp((xmlAttr *)node);
        } else {
            xmlUnlinkNode(node);
            xmlFreeNode(node);
        }
    }
    nodes->nodeNr = 0;
}

static lh_config_result make(lh_config *config, xmlNode *parent, const char *step, const char *value, size_t length,
                             char message[LH_CONFIG_MESSAGE_BYTES]) {
    assert(parent->type == XML_ELEMENT_NODE);
    const char *reason = NULL;
    if (step[0] == '@') {
        reason = lh_xml_set_attribute(config->xml, parent, step + 1, value, length);
    } else {
        xmlNode *node = lh_xml_add_child(parent, step, &reason);
        if (node) reason = lh_xml_set_contents(config->xml, node, value, length);
    }
    if (!reason) return LH_CONFIG_DONE;
    snprintf(message, LH_CONFIG_MESSAGE_BYTES, "'%.200s': %s", step, reason);
    return LH_CONFIG_BAD;
}

/* The steps that lead to where a value is to be put; BAD: the last is no name. */
static lh_config_result find_place(const lh_config *config, const char *path, const char **step, xmlNode **parent,
                                   char message[LH_CONFIG_MESSAGE_BYTES]) {
    *step = find_last_step(path);
    const char *name = *step && (*step)[0] == '@' ? *step + 1 : *step;
    if (!name || !lh_xml_is_name(name, strlen(name))) {
        snprintf(message, LH_CONFIG_MESSAGE_BYTES, "the last step of '%.200s' is neither a name nor @ and a name",
                 path);
        return LH_CONFIG_BAD;
    }
    bool is_bad;
    *parent = find_parent(config, path, *step, &is_bad, message);
    if (is_bad) return LH_CONFIG_BAD;
    return *parent ? LH_CONFIG_DONE : LH_CONFIG_NONE;
}

lh_config_result lh_config_replace(lh_config *config, const char *path, const char *value, size_t length,
                                   char message[LH_CONFIG_MESSAGE_BYTES]) {
    const char *step;
    xmlNode *parent;
    const lh_config_result place = find_place(config, path, &step, &parent, message);
    if (place != LH_CONFIG_DONE) return place;
    xmlXPathObject *object = evaluate(config, path, NULL, message);
    if (!object) return LH_CONFIG_BAD;
    if (count_nodes(object) > 0 && is_within(parent, object->nodesetval)) {
        snprintf(message, LH_CONFIG_MESSAGE_BYTES, "'%.200s' selects what the value would be put into", path);
        xmlXPathFreeObject(object);
        return LH_CONFIG_BAD;
    }
    if (count_nodes(object) > 0) remove_nodes(object->nodesetval);
    xmlXPathFreeObject(object);
    return make(config, parent, step, value, length, message);
}

lh_config_result lh_config_set(lh_config *config, const char *path, const char *value, size_t length,
                               char message[LH_CONFIG_MESSAGE_BYTES]) {
    xmlXPathObject *object = evaluate(config, path, NULL, message);
    if (!object) return LH_CONFIG_BAD;
    const int count = count_nodes(object);
    xmlNode *node = count == 1 ? object->nodesetval->nodeTab[0] : NULL;
    xmlXPathFreeObject(object);
    if (count > 1) return LH_CONFIG_NONE;
    if (node) return lh_xml_set_contents(config->xml, node, value, length) ? LH_CONFIG_NONE : LH_CONFIG_DONE;
    const char *step;
    xmlNode *parent;
    const lh_config_result place = find_place(config, path, &step, &parent, message);
    return place == LH_CONFIG_DONE ? make(config, parent, step, value, length, message) : place;
}

/* -- Included files ------------------------------------------------------------------------------------------------ */

static bool is_include(const xmlNode *node) {
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, "include") == 0 &&
           xmlHasNsProp(node, (const xmlChar *)"file", NULL);
}

static bool include_all(xmlDoc *document, xmlNode *top, const char *directory, int depth,
                        char message[LH_CONFIG_MESSAGE_BYTES]);

static bool read_file(const char *path, lh_buffer *text, char message[LH_CONFIG_MESSAGE_BYTES]) {
    char why[128] = "too large";
    FILE *file = fopen(path, "rbe");
    if (!file) {
        snprintf(message, LH_CONFIG_MESSAGE_BYTES, "%s", lh_error_text(errno));
        return false;
    }
    bool is_good = true;
    size_t n;
    do {
        is_good = lh_buffer_reserve(text, 65536) == 0 && text->length <= FILE_MAX;
        n = is_good ? fread(lh_buffer_end(text), 1, 65536, file) : 0;
        if (is_good) lh_buffer_commit(text, n);
    } while (n > 0);
    if (ferror(file)) {
        is_good = false;
        snprintf(why, sizeof(why), "cannot be read");
    }
    fclose(file);
    if (!is_good) snprintf(message, LH_CONFIG_MESSAGE_BYTES, "%s", why);
    return is_good;
}

static bool is_true(xmlNode *element, const char *name) {
    xmlChar *value = xmlGetNoNsProp(element, (const xmlChar *)name);
    const bool is_set = value && lh_word_boolean((char *)value) == 1;
    xmlFree(value);
    return is_set;
}

/* The directory that the file is in, freed with lh_free. */
static char *directory_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return lh_alloc_copy(".", 1);
    return lh_alloc_copy(path, slash == path ? 1 : (size_t)(slash - path));
}

/* Puts the children of the text's root below the element. */
static bool include_text(xmlDoc *document, xmlNode *element, const char *path, const lh_buffer *text, int depth,
                         char message[LH_CONFIG_MESSAGE_BYTES]) {
    assert(depth < INCLUDES_DEEP_MAX);
    lh_xml *xml = lh_xml_parse(bytes_of(text), text->length, message);
    if (!xml) return false;
    char *directory = directory_of(path);
    xmlNode *root = xmlDocGetRootElement(lh_xml_document(xml));
    const bool is_good = include_all(lh_xml_document(xml), root, directory, depth + 1, message);
    if (is_good && root->children) xmlAddChildList(element, xmlDocCopyNodeList(document, root->children));
    lh_free(directory);
    lh_xml_drop(xml);
    return is_good;
}

static bool read_snippet(const char *path, bool is_snippet, lh_buffer *text, char message[LH_CONFIG_MESSAGE_BYTES]) {
    if (is_snippet && lh_buffer_print(text, "<snippet>") < 0) return false;
    return read_file(path, text, message) && (!is_snippet || lh_buffer_print(text, "</snippet>") == 0);
}

/* What the message says is about that file. */
static void name_file(const char *path, char message[LH_CONFIG_MESSAGE_BYTES]) {
    char about[LH_CONFIG_MESSAGE_BYTES];
    snprintf(about, sizeof(about), "%.200s: %.300s", path, message);
    memcpy(message, about, sizeof(about));
}

static bool include_file(xmlDoc *document, xmlNode *element, const char *directory, int depth,
                         char message[LH_CONFIG_MESSAGE_BYTES]) {
    xmlChar *file = xmlGetNoNsProp(element, (const xmlChar *)"file");
    if (!file) {
        snprintf(message, LH_CONFIG_MESSAGE_BYTES, "not enough memory");
        return false;
    }
    lh_buffer path = {0}, text = {0};
    const bool is_absolute = file[0] == '/';
    bool is_good =
        lh_buffer_print(&path, "%s%s%s", is_absolute ? "" : directory, is_absolute ? "" : "/", (char *)file) == 0 &&
        lh_buffer_append(&path, "", 1) == 0;
    snprintf(message, LH_CONFIG_MESSAGE_BYTES,
             depth < INCLUDES_DEEP_MAX ? "not enough memory" : "files include one another too deeply");
    is_good = is_good && depth < INCLUDES_DEEP_MAX &&
              read_snippet(lh_buffer_bytes(&path), is_true(element, "snippet"), &text, message) &&
              include_text(document, element, lh_buffer_bytes(&path), &text, depth, message);
    if (!is_good) name_file((char *)file, message);
    lh_buffer_reset(&path);
    lh_buffer_reset(&text);
    xmlFree(file);
    return is_good;
}

static bool include_all(xmlDoc *document, xmlNode *top, const char *directory, int depth,
                        char message[LH_CONFIG_MESSAGE_BYTES]) {
    if (is_include(top)) return include_file(document, top, directory, depth, message);
    for (xmlNode *child = top->children; child; child = child->next) {
        if (child->type == XML_ELEMENT_NODE && !include_all(document, child, directory, depth, message)) return false;
    }
    return true;
}

static void drop_included(xmlNode *top) {
    if (is_include(top)) {
        xmlFreeNodeList(top->children);
        top->children = top->last = NULL;
        return;
    }
    for (xmlNode *child = top->children; child; child = child->next) {
        if (child->type == XML_ELEMENT_NODE) drop_included(child);
    }
}

/* -- Documents ----------------------------------------------------------------------------------------------------- */

static lh_config *parse(const char *text, size_t length, const char *directory, char message[LH_CONFIG_MESSAGE_BYTES]) {
    lh_xml *xml = lh_xml_parse(text, length, message);
    if (!xml) return NULL;
    lh_config *config = lh_alloc(sizeof(*config));
    config->xml = xml;
    if (include_all(document_of(config), xmlDocGetRootElement(document_of(config)), directory, 0, message))
        return config;
    lh_config_free(config);
    return NULL;
}

lh_config *lh_config_parse(const char *text, size_t length, char message[LH_CONFIG_MESSAGE_BYTES]) {
    return parse(text, length, ".", message);
}

lh_config *lh_config_load(const char *file, char message[LH_CONFIG_MESSAGE_BYTES]) {
    lh_buffer text = {0};
    char *directory = directory_of(file);
    lh_config *config = NULL;
    if (read_file(file, &text, message)) config = parse(bytes_of(&text), text.length, directory, message);
    lh_buffer_reset(&text);
    lh_free(directory);
    return config;
}

void lh_config_free(lh_config *config) {
    if (!config) return;
    lh_xml_drop(config->xml);
    lh_free(config);
}

char *lh_config_text(const lh_config *config, bool with_included, size_t *length) {
    xmlDoc *copy = xmlCopyDoc(document_of(config), 1);
    xmlNode *root = copy ? xmlDocGetRootElement(copy) : NULL;
    xmlChar *text = NULL;
    int size = 0;
    if (root) { /* else there was no memory */
        if (!with_included) drop_included(root);
        xmlDocDumpMemory(copy, &text, &size);
    }
    xmlFreeDoc(copy);
    char *result = text ? lh_alloc_copy((char *)text, (size_t)size) : NULL;
    *length = (size_t)size;
    xmlFree(text);
    return result;
}
