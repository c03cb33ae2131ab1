#include "net/net.h"

#include <assert.h>

#include "base/alloc.h"
#include "net/linger.h"
#include "net/socket.h"

int lh_net_open(lh_net *net) {
    *net = (lh_net){0};
    const int rv = lh_loop_open(&net->loop);
    if (rv < 0) return rv;
    lh_slab_init(&net->sockets, sizeof(lh_socket), offsetof(lh_socket, in)); /* see on_ready in socket.c */
    lh_list_init(&net->held);
    lh_linger_open(net);
    lh_list_init(&net->resolvers);
    net->scratch = lh_alloc(LH_NET_SCRATCH_BYTES);
    return 0;
}

void lh_net_close(lh_net *net) {
    assert(net->open_count == 0 && net->sockets.used_count == 0);
    lh_linger_close(net);
    lh_loop_close(&net->loop);
    lh_slab_fini(&net->sockets);
    lh_free(net->tls_batch);
    lh_free(net->scratch);
}

int lh_net_claim_scratch(lh_net *net) {
    lh_socket *borrower = net->borrower;
    assert(lh_loop_is_mine(&net->loop));
    if (!borrower) return 0;
    assert(lh_slab_has(&net->sockets, borrower) && borrower->in.capacity == 0 && borrower->in.length > 0);
    lh_buffer own = {0};
    const int rv = lh_buffer_append(&own, lh_buffer_bytes(&borrower->in), borrower->in.length);
    if (rv < 0) return rv;
    borrower->in = own;
    net->borrower = NULL;
    return 0;
}
