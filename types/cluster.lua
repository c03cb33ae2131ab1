---@meta
-- Clusters: mtev.cluster; <clusters> of the configuration.

-- == Cluster ========================================================================================================
--
-- Processes on several machines as one: membership, age, values, sequences, messages and semaphores, by an etcd (v3)
-- that all can reach. `docs/clusters.md` says what is promised and how it grows.
--   <clusters>
--     <cluster name="a" endpoints="http://10.0.0.1:2379,http://10.0.0.2:2379,http://10.0.0.3:2379" ttl="5"/>
--   </clusters>
--   ttl       seconds (2 to 86400) after which a node that says nothing is no member any more; default 5
--   timeout   seconds for what asks etcd; default 5
--   prefix    of all keys in etcd; default `/lhotse/NAME/`
--   node      the name that others see; default HOST:PID
--   user, password; ca, certificate, key (PEM files)   with `https://` endpoints; the server's certificate is
--               verified always
-- Without endpoints a cluster is this process alone, with the same interface: programs run on a laptop unchanged. It,
-- too, keeps the program alive until it is left, and then loses its ephemeral values and semaphores. A process is one
-- node, with all its threads.
--
-- Membership is lost when etcd cannot be told for `ttl` that the node lives. A node knows that by its own clock
-- before etcd acts on it, and what it writes is written only as a member: after a stop, or cut off, it cannot act on
-- what it had. What it held (semaphores, ephemeral values, the lead) is lost; each coroutine that had asked or acted
-- before gets one error from the next call that acts; the node joins again by itself, as the youngest. Functions that
-- ask etcd return nil and a message when it does not answer in time, or the node is no member;
-- "it may have been done" is in the message when that is not known.

---@class mtev.cluster
local cluster = {}

---The cluster of that name. The first call joins it, in the background, and keeps the program alive until `leave`.
---Does not yield.
---
---Raises if its settings are no good. Methods raise `no such cluster` when it is not configured any more, and for
---arguments too many.
---
---Difference: libmtev's own protocol and its lists of `<node>` are not there. Libmtev returns nothing for an unknown
---name.
---@param name string
---@return mtev.cluster? c nil if no such cluster is configured
function mtev.cluster(name) end

---Waits until this node is a member. Yields.
---@param timeout? number seconds; nil for ever
---@return boolean? ok
---@return string? message
function cluster:join(timeout) end

---How many members there are, this one included; 0 while it is none. Yields for the first join (at most `timeout`),
---then never.
---@return integer
function cluster:size() end

---Is this node the oldest member? Of a cluster there is never more than one node that gets true at the same time,
---given clocks that run at the same rate; false while it is no member. Yields as `size`.
---@return boolean
function cluster:am_i_oldest_visible_node() end

---The members, the oldest first. `revision`: of etcd, when it joined. Yields as `size`.
---@return {id: string, name: string, revision: integer, is_self: boolean}[] nodes
function cluster:nodes() end

---The member that a key belongs to, by rendezvous hashing: the same at all members that see the same members; when
---one comes or goes only its own keys move. Yields as `size`.
---@param key string
---@return {id: string, name: string, revision: integer, is_self: boolean}? node nil while this node is no member
function cluster:owner(key) end

---This node's id, as in `nodes`. It stays when the node joins again. Does not yield.
---@return string id
function cluster:id() end

---Has `f` called, in a coroutine of its own, each time that members come or go. Does not yield.
---@param f fun(nodes: table[]) # as `nodes` gives them
---@return fun() stop
function cluster:on_change(f) end

---Has `f` called, in a coroutine of its own, each time that this node's membership is lost. Does not yield.
---@param f fun(why: string)
---@return fun() stop
function cluster:on_lost(f) end

---Leaves: the others are told at once. `mtev.cluster` joins again. A program that a signal tells to end leaves by
---itself. Yields.
---@return boolean? ok
---@return string? message etcd has not answered: it goes on trying
function cluster:leave() end

---A value, as the last `set` or `cas` of any node left it (linearizable). Yields.
---@param key string
---@return string? value nil if there is none; or
---@return string? message
function cluster:get(key) end

---Sets a value. Yields.
---@param key string
---@param value string? nil deletes
---@param options? {ephemeral?: boolean} ephemeral: it goes when this node's membership does
---@return boolean? ok
---@return string? message
function cluster:set(key, value, options) end

---Sets a value if it is what is expected. Yields.
---@param key string
---@param expected string? nil: there is none
---@param value string? nil deletes
---@return boolean? done false: it was another; nil: message
---@return string? value the other; or the message
function cluster:cas(key, expected, value) end

---1, 2, 3 ... for each key: no two calls of any node get the same, and a call that begins after another has returned
---gets a greater one. Numbers may be left out when etcd fails in mid-call. Yields.
---@param key string
---@return integer? number
---@return string? message
function cluster:seq(key) end

---Sends values to whichever node waits for the key, or will; they wait in etcd. Each message reaches one waiter, the
---oldest message first; it is lost if that node dies at the moment of taking it. Values: nil, booleans, numbers,
---strings, tables of these. Yields.
---
---Raises for other values. Messages count for etcd's limit of 1.5 MB a request.
---@param key string
---@param ... any
---@return boolean? ok
---@return string? message
function cluster:notify(key, ...) end

---Waits for a message. Yields.
---@param key string
---@param timeout? number seconds; nil for ever, 0 polls
---@return string? key no value at all on timeout; nil and a message if etcd fails or the membership is lost
---@return any ... the values
function cluster:waitfor(key, timeout) end

---A semaphore of all nodes. `n` counts as long as all give the same. Does not yield.
---@param name string
---@param n? integer units; default 1
---@return mtev.cluster.semaphore
function cluster:semaphore(name, n) end

---@class mtev.cluster.semaphore
local cluster_semaphore = {}

---Takes a unit; who has waited longest, on any node, is next. Cancelled, or when its time is over, it takes none.
---Yields.
---@param timeout? number seconds; nil for ever, 0 tries
---@return boolean? taken false on timeout; nil: message
---@return string? message
function cluster_semaphore:acquire(timeout) end

---`acquire(0)`. Yields.
---@return boolean? taken
---@return string? message
function cluster_semaphore:try_acquire() end

---Gives a unit back that this object took. Yields.
---@return boolean? ok nil: it holds none, any more or at all; or etcd has not answered, then it goes on trying
---@return string? message
function cluster_semaphore:release() end

---The units that this object holds; 0 from the moment the membership is lost. Does not yield.
---@return integer units
function cluster_semaphore:held() end
