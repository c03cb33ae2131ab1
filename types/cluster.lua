---@meta
-- Clusters: mtev.cluster; <clusters> of the configuration.

-- == Cluster ========================================================================================================
--
-- Processes on several machines act as one: membership, age, values, sequences, messages and semaphores, through an
-- etcd (v3) that all can reach. `docs/clusters.md` says what is guaranteed and how it scales.
--   <clusters>
--     <cluster name="a" endpoints="http://10.0.0.1:2379,http://10.0.0.2:2379,http://10.0.0.3:2379" ttl="5"/>
--   </clusters>
--   ttl       seconds (2 to 86400) after which a silent node is no longer a member; default 5
--   timeout   seconds for calls that ask etcd; default 5
--   prefix    prefix of all keys in etcd; default `/lhotse/NAME/`
--   node      the name shown to other nodes; default HOST:PID
--   user, password; ca, certificate, key (PEM files)   with `https://` endpoints; the server's certificate is always
--               verified
-- Without endpoints a cluster is this process alone, with the same interface: programs run on a laptop unchanged. It,
-- too, keeps the program alive until it is left, and then loses its ephemeral values and semaphores. A process is one
-- node, with all its threads.
--
-- A node that cannot renew with etcd for `ttl` loses its membership. It knows this by its own clock before etcd acts
-- on it, and it can write only as a member: after being stopped or cut off, it cannot act on what it had. What it
-- held (semaphores, ephemeral values, the lead) is lost; each coroutine that had asked or acted before gets one error
-- from its next call that acts; the node rejoins by itself, as the youngest. Functions that ask etcd return nil and a
-- message if it does not answer in time or the node is not a member; the message contains "it may have been done" if
-- that is unknown.

---@class mtev.cluster
local cluster = {}

---The cluster of that name. The first call joins it, in the background, and keeps the program alive until `leave`.
---Does not yield.
---
---Raises if its settings are invalid. Methods raise `no such cluster` once it is no longer configured, and raise for
---too many arguments.
---
---Difference: libmtev's own protocol and its lists of `<node>` are not supported. libmtev returns nothing for an
---unknown name.
---@param name string
---@return mtev.cluster? c nil if no such cluster is configured
function mtev.cluster(name) end

---Waits until this node is a member. Yields.
---@param timeout? number seconds; nil for ever
---@return boolean? ok
---@return string? message
function cluster:join(timeout) end

---The number of members, including this node; 0 while it is not a member. Yields for the first join (at most
---`timeout`), then never.
---@return integer
function cluster:size() end

---Whether this node is the oldest member. At most one node of a cluster gets true at a time, provided that clocks run
---at the same rate; false while it is not a member. Yields as `size`.
---@return boolean
function cluster:am_i_oldest_visible_node() end

---The members, oldest first. `revision`: etcd's, when the node joined. Yields as `size`.
---@return {id: string, name: string, revision: integer, is_self: boolean}[] nodes
function cluster:nodes() end

---The member that a key belongs to, by rendezvous hashing: the same on all nodes that see the same members; when one
---joins or leaves, only its own keys move. Yields as `size`.
---@param key string
---@return {id: string, name: string, revision: integer, is_self: boolean}? node nil while this node is not a member
function cluster:owner(key) end

---This node's id, as in `nodes`. It stays the same when the node rejoins. Does not yield.
---@return string id
function cluster:id() end

---Calls `f`, in a coroutine of its own, whenever members join or leave. Does not yield.
---@param f fun(nodes: table[]) # as `nodes` gives them
---@return fun() stop
function cluster:on_change(f) end

---Calls `f`, in a coroutine of its own, whenever this node's membership is lost. Does not yield.
---@param f fun(why: string)
---@return fun() stop
function cluster:on_lost(f) end

---Leaves; the others learn of it immediately. `mtev.cluster` joins again. A program that ends by a signal leaves by
---itself. Yields.
---@return boolean? ok
---@return string? message etcd has not answered; the node goes on trying
function cluster:leave() end

---Returns a value as left by the last `set` or `cas` of any node (linearizable). Yields.
---@param key string
---@return string? value nil if there is none; or
---@return string? message
function cluster:get(key) end

---Sets a value. Yields.
---@param key string
---@param value string? nil deletes
---@param options? {ephemeral?: boolean} ephemeral: it is deleted when this node's membership ends
---@return boolean? ok
---@return string? message
function cluster:set(key, value, options) end

---Sets a value if the present one is as expected. Yields.
---@param key string
---@param expected string? nil: expects none
---@param value string? nil deletes
---@return boolean? done false: it was different; nil: see message
---@return string? value the present one; or the message
function cluster:cas(key, expected, value) end

---1, 2, 3 ... for each key: no two calls on any nodes get the same number, and a call that begins after another has
---returned gets a greater one. Numbers may be skipped if etcd fails during a call. Yields.
---@param key string
---@return integer? number
---@return string? message
function cluster:seq(key) end

---Sends values to a node that waits for the key, now or later; they wait in etcd. Each message reaches one waiter,
---the oldest message first; it is lost if that node dies while taking it. Values: nil, booleans, numbers, strings,
---tables of these. Yields.
---
---Raises for other values. A message is subject to etcd's limit of 1.5 MB per request.
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

---A semaphore shared by all nodes, which must all give the same `n`. Does not yield.
---@param name string
---@param n? integer units; default 1
---@return mtev.cluster.semaphore
function cluster:semaphore(name, n) end

---@class mtev.cluster.semaphore
local cluster_semaphore = {}

---Takes a unit; the coroutine that has waited longest, on any node, is next. If cancelled or timed out it takes none.
---Yields.
---@param timeout? number seconds; nil for ever, 0 tries
---@return boolean? taken false on timeout; nil: see message
---@return string? message
function cluster_semaphore:acquire(timeout) end

---`acquire(0)`. Yields.
---@return boolean? taken
---@return string? message
function cluster_semaphore:try_acquire() end

---Gives a unit back that this object took. Yields.
---@return boolean? ok nil: it holds none (any more); or etcd has not answered, and it goes on trying
---@return string? message
function cluster_semaphore:release() end

---The units that this object holds; 0 from the moment the membership is lost. Does not yield.
---@return integer units
function cluster_semaphore:held() end
