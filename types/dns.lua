---@meta
-- Names and addresses: mtev.dns, getaddrinfo, inet_pton.

-- == Names and addresses ============================================================================================

---@class mtev.dns
---Asks DNS servers. Any number of lookups may be under way on one object, from any coroutine of the thread; about 250
---are sent at a time, the rest wait their turn. Objects for the same server share its questions and sockets.
local dns = {}

---`nameserver`: `"ip"`, `"ip:port"`, `"[ip]:port"`; default: the servers of /etc/resolv.conf, with its `timeout:` and
---`attempts:`, read again when the file has changed. Anything else raises
---@param nameserver? string
---@return mtev.dns
function mtev.dns(nameserver) end

---Asks for the records of a name: one table for each. Every table has `ttl` (seconds), and by type: `a`, `aaaa`
---(text) · `cname`, `ns`, `ptr`, `mb`, `md`, `mf`, `mg`, `mr`, `dname` (a name) · `mx`, `preference` · `txt`, `spf`
---(the strings of a record, joined) · `srv`, `priority`, `weight`, `port` · `mname`, `rname`, `serial`, `refresh`,
---`retry`, `expire`, `minimum` (SOA) · `caa`, `tag`, `flags` · `order`, `preference`, `flags`, `service`, `regexp`,
---`replacement` (NAPTR) · `keytag`, `algorithm`, `digesttype`, `ds` · `usage`, `selector`, `matching`, `tlsa` ·
---`algorithm`, `fptype`, `sshfp` · `priority`, `https` or `svcb`, `params` · `cpu`, `os` (HINFO) and so on: what has
---no fields of its own is bytes under its type's name. Records of types unknown here have `type` (a number) and
---`data` (bytes).
---
---Aliases (CNAME) are followed, also over several answers, at most 16. A truncated answer is asked for again over
---TCP. What does not answer the question that was asked is ignored. Yields.
---
---Raises `dns: bad rr type` for unknown types and classes.
---
---Difference: without a record libmtev returns no values.
---@param name string
---@param rtype? string `"A"` (the default), `"AAAA"`, `"MX"`, `"ANY"` ..., in any case
---@param ctype? string `"IN"` (the default), `"CH"`, `"HS"`, `"ANY"`
---@return table? record nil if there is none
---Returns ... more records; without any, why: `"no such name"`, `"no data"`, `"timeout"`, `"server failure"`,
---`"refused"`, `"malformed answer"`, `"too long a chain of aliases"`, `"no server has an answer"`
---@return table|string|nil
function dns:lookup(name, rtype, ctype) end

---Also as `d.is_valid_ip(text)`. Does not yield.
---@param text string
---@return boolean is_valid
---@return integer? family 2 (AF_INET) or 10 (AF_INET6)
function dns:is_valid_ip(text) end

---The address of a host as the system finds it (getaddrinfo(3): /etc/hosts, nsswitch.conf, DNS), on a pool of
---threads. Literals give themselves. Names of /etc/hosts do not wait for others, which a name server may keep
---waiting. Yields.
---
---Raises unless it is given exactly one name.
---@param host string
---@return string|false ip IPv4 if it has one, else IPv6; false on failure
---@return string family `"inet"` or `"inet6"`; on failure `getaddrinfo(NAME) failed: REASON`
---@return string[]? all every address, IPv4 first; extension
function mtev.getaddrinfo(host) end

---Reads an address. Does not yield.
---@param text string
---@return boolean ok false (alone) when it is none
---@return string? family `"inet"` or `"inet6"`
---@return userdata? address 4 or 16 bytes, in network order
function mtev.inet_pton(text) end
