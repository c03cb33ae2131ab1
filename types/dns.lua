---@meta
-- Names and addresses: mtev.dns, getaddrinfo, inet_pton.

-- == Names and addresses ============================================================================================

---@class mtev.dns
---Queries DNS servers. Any number of lookups may run on one object, from any coroutine of the thread; about 250 are
---sent at a time, the rest wait their turn. Objects for the same server share queries and sockets.
local dns = {}

---`nameserver`: `"ip"`, `"ip:port"`, `"[ip]:port"`; default: the servers of /etc/resolv.conf, with its `timeout:` and
---`attempts:`, read again when the file has changed. Anything else raises
---@param nameserver? string
---@return mtev.dns
function mtev.dns(nameserver) end

---Looks up the records of a name and returns one table for each. Every table has `ttl` (seconds), and by type: `a`,
---`aaaa` (text) · `cname`, `ns`, `ptr`, `mb`, `md`, `mf`, `mg`, `mr`, `dname` (a name) · `mx`, `preference` · `txt`,
---`spf` (the strings of a record, joined) · `srv`, `priority`, `weight`, `port` · `mname`, `rname`, `serial`,
---`refresh`, `retry`, `expire`, `minimum` (SOA) · `caa`, `tag`, `flags` · `order`, `preference`, `flags`, `service`,
---`regexp`, `replacement` (NAPTR) · `keytag`, `algorithm`, `digesttype`, `ds` · `usage`, `selector`, `matching`,
---`tlsa` · `algorithm`, `fptype`, `sshfp` · `priority`, `https` or `svcb`, `params` · `cpu`, `os` (HINFO) and so on:
---the bytes of a record without fields of its own are under its type's name. Records of unknown types have `type` (a
---number) and `data` (bytes).
---
---Aliases (CNAME) are followed, also across answers, at most 16. A truncated answer is queried again over TCP.
---Answers to other questions are ignored. Yields.
---
---Raises `dns: bad rr type` for unknown types and classes.
---
---Difference: if there is no record, libmtev returns no values.
---@param name string
---@param rtype? string `"A"` (the default), `"AAAA"`, `"MX"`, `"ANY"` ..., in any case
---@param ctype? string `"IN"` (the default), `"CH"`, `"HS"`, `"ANY"`
---@return table? record nil if there is none
---Returns ... more records; if there is none, the reason: `"no such name"`, `"no data"`, `"timeout"`,
---`"server failure"`, `"refused"`, `"malformed answer"`, `"too long a chain of aliases"`, `"no server has an answer"`
---@return table|string|nil
function dns:lookup(name, rtype, ctype) end

---Whether a text is an IP address. Also as `d.is_valid_ip(text)`. Does not yield.
---@param text string
---@return boolean is_valid
---@return integer? family 2 (AF_INET) or 10 (AF_INET6)
function dns:is_valid_ip(text) end

---The address of a host as the system finds it (getaddrinfo(3): /etc/hosts, nsswitch.conf, DNS), on a pool of
---threads. A literal returns itself. Names in /etc/hosts do not wait behind names for which a name server is asked.
---Yields.
---
---Raises unless given exactly one name.
---@param host string
---@return string|false ip IPv4 if it has one, otherwise IPv6; false on failure
---@return string family `"inet"` or `"inet6"`; on failure `getaddrinfo(NAME) failed: REASON`
---@return string[]? all every address, IPv4 first; extension
function mtev.getaddrinfo(host) end

---Parses an address. Does not yield.
---@param text string
---@return boolean ok false, alone, if it is not an address
---@return string? family `"inet"` or `"inet6"`
---@return userdata? address 4 or 16 bytes, in network order
function mtev.inet_pton(text) end
