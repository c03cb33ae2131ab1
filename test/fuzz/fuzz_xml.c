/* XML: any text, parsed with our limits; what is accepted can be written and read again, searched, and changed while
 * nodes of it are held. */
#include <assert.h>
#include <libxml/xmlmemory.h>
#include <string.h>

#include "data/xml.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void read_again(const lh_xml *xml) {
    char message[LH_XML_MESSAGE_BYTES];
    size_t length;
    xmlChar *text = lh_xml_text(xml, &length);
    if (!text) return; /* an encoding that can be read, not written */
    lh_xml *again = lh_xml_parse((const char *)text, length, message);
    if (again) lh_xml_drop(again);
    xmlFree(text);
}

/* The last bytes of the input are an expression too. */
static void search(lh_xml *xml, const unsigned char *data, size_t size) {
    static const lh_xml_prefix prefixes[] = {{"p", "urn:p"}};
    char expression[64], message[LH_XML_MESSAGE_BYTES];
    const size_t length = size < sizeof(expression) - 1 ? size : sizeof(expression) - 1;
    memcpy(expression, data + size - length, length);
    expression[length] = '\0';
    lh_xml_result result;
    if (lh_xml_xpath(xml, expression, NULL, prefixes, 1, &result, message)) lh_xml_result_free(xml, &result);
    assert(lh_xml_xpath(xml, "//node() | //@*", NULL, NULL, 0, &result, message));
    for (size_t i = 0; i < result.node_count; i++) {
        xmlNode *node = result.nodes[i];
        if (i % 3 == 0) lh_xml_set_contents(xml, node, "new", 3);
        xmlFree(lh_xml_contents(node));
        if (node->type != XML_ELEMENT_NODE) continue;
        const char *reason;
        lh_xml_add_child(node, "child", &reason);
        lh_xml_set_attribute(xml, node, "key", "value", 5);
        if (i % 2 == 0) lh_xml_remove_attribute(xml, node, "key");
    }
    lh_xml_result_free(xml, &result);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    char message[LH_XML_MESSAGE_BYTES] = "";
    lh_xml_start();
    lh_xml *xml = lh_xml_parse((const char *)data, size, message);
    if (!xml) {
        assert(*message && strlen(message) < LH_XML_MESSAGE_BYTES);
        return 0;
    }
    read_again(xml);
    search(xml, data, size);
    read_again(xml);
    lh_xml_drop(xml);
    return 0;
}
