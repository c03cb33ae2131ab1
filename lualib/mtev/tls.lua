-- e:ssl_upgrade_socket: the forms of its arguments, made into the settings that src/mtev/tls.c takes.

local mtev, core = ...
local bit = require("bit")
local methods, check_interrupted = core.eventer_methods, core.check_interrupted
local make_context, is_current, upgrade, refuse = core.tls_context, core.tls_is_current, core.tls_upgrade, core.tls_refuse
local is_luamtev, check, boolean = core.is_luamtev, core.check, core.boolean
local type, tostring, tonumber, pairs, ipairs = type, tostring, tonumber, pairs, ipairs
local next, getmetatable, select = next, getmetatable, select

-- -- Values: scripts read them from configurations, where everything is text --------------------------------------------

local BOOLEANS = { "server", "verify", "optional_no_ca", "ignore_dates", "request_client_cert", "require_client_cert" }

local TEXTS = {
  "certificate", "certificate_file", "cert", "key", "key_file", "ca_chain", "ca_file", "ca_accept", "crl", "ciphers", "layer",
  "layer_openssl_11", "alpn", "npn",
}

-- Of these, a misspelt one that was ignored would leave a connection less strict than the script says.
local TIGHTENING = {
  ca_chain = true, ca_file = true, ca_accept = true, crl = true, ciphers = true, layer = true, layer_openssl_11 = true,
  snihost = true, request_client_cert = true, require_client_cert = true, verify = is_luamtev or nil,
}

local KNOWN = { certificates = true, snihost = true, timeout = true, layer_openssl_10 = true }
for _, key in ipairs(BOOLEANS) do KNOWN[key] = true end
for _, key in ipairs(TEXTS) do KNOWN[key] = true end

local function text(value)
  if value == nil or value == false or value == "" then return nil end
  return tostring(value)
end

-- The first of these keys that says something.
local function first_text(config, ...)
  for i = 1, select("#", ...) do
    local value = text(config[(select(i, ...))])
    if value then return value end
  end
end

-- Words of other programs. Like misspelt ones they must not be ignored.
local MEANT = {
  sni = "snihost", sni_name = "snihost", sniname = "snihost", servername = "snihost", server_name = "snihost",
  hostname = "snihost", host = "snihost", peer_name = "snihost", ca = "ca_chain", cafile = "ca_chain", cacert = "ca_chain",
  capath = "ca_chain", authorities = "ca_chain", authority = "ca_chain",
  crl_file = "crl", revocation = "crl", revocations = "crl",
  verify_client = "require_client_cert", verify_peer = "verify", client_auth = "require_client_cert",
  fail_if_no_peer_cert = "require_client_cert", protocols = "layer", protocol = "layer", min_version = "layer",
  max_version = "layer", min_proto = "layer", max_proto = "layer", min_protocol = "layer", max_protocol = "layer",
  cipher = "ciphers", cipher_list = "ciphers",
}

-- What else a word may have in it that asks for more than is done without it.
local STRICT = {
  "verif", "validat", "requir", "enforce", "mandatory", "fail_?if", "strict", "secur", "fips", "client", "mutual",
  "mtls", "trust", "^ca", "%f[%w]ca%f[^%w]", "root_?ca", "cert_?req", "request_?cert", "reject", "authori[tz]",
  "issuer", "crl", "revo[ck]", "ocsp", "stapl", "cipher", "curve", "sig_?alg", "version", "proto", "common_?name",
  "alt_?name", "fingerprint", "hostname", "peername", "peercert", "pinned", "server_?name", "expect", "min_?ver",
  "max_?ver", "min_?tls", "max_?tls", "^no_?tls", "^no_?ssl", "tls_?v?%d*_?min", "ssl_?min", "^tls_?v?1?%d?_?only",
  "^only", "disable", "exclude", "signature", "key_?exchange", "thumbprint", "spki", "cert_?hash", "certificate_?hash",
  "hpkp", "endpoint_?id", "sec_?level", "min_?rsa", "key_?size", "key_?usage", "purpose", "anchor", "root_?cert",
  "root_?store", "bundle", "transparency", "secrecy", "paranoid", "harden", "two_?way", "whitelist", "allowed",
  "depth",
}
-- Only as words of their own: they are parts of many others.
for _, word in ipairs {
  "check", "peer", "group", "groups", "sni", "host", "subject", "domain", "pin", "pins", "pinned", "pinning", "kex",
  "suites", "cn", "san", "eku", "roots", "sct", "pfs", "auth", "acl", "deny",
} do
  STRICT[#STRICT + 1] = ("%%f[%%w]%s%%f[^%%w]"):format(word)
end
local LAX = { "^insecure", "^allow_?insecure", "^alpn$", "^alpn_?proto" } -- without such a one less is accepted

-- As this program writes names: "minVersion" is min_version.
local function plain(key)
  return type(key) == "string" and key:gsub("(%l)(%u)", "%1_%2"):lower() or key
end

local function has_one_of(key, patterns)
  for _, pattern in ipairs(patterns) do
    if key:find(pattern) then return true end
  end
  return false
end

local function sounds_strict(key)
  if type(key) ~= "string" then return false end
  key = plain(key)
  return has_one_of(key, STRICT) and not has_one_of(key, LAX)
end

local function asks_for_something(key, value)
  value = text(value)
  if type(key) == "string" and key:lower():find("depth") then return value ~= nil end -- the strictest depth is 0
  return value ~= nil and boolean(value) ~= false
end

-- A key that is not known: a warning, since scripts for libmtev carry strangers. Why that is not enough, or nil.
local function examine_stranger(key, value)
  check.warn_of_unknown(key, KNOWN)
  local message, nearest = check.unknown_option(key, KNOWN)
  local is_strict = not nearest and sounds_strict(key)
  if MEANT[plain(key)] then
    nearest = MEANT[plain(key)]
    message = ("unknown option '%s' (did you mean '%s'?)"):format(key, nearest)
  end
  if is_strict or TIGHTENING[nearest] then return asks_for_something(key, value) and message or nil end
end

local function examine_unknown(config)
  for key, value in pairs(config) do
    local wrong = not KNOWN[key] and examine_stranger(key, value)
    if wrong then return wrong end
  end
end

-- {key = true or false}, or nil and what is wrong. What cannot be understood must not mean false: `verify = "ture"`
-- would accept any certificate.
local function read_booleans(config)
  local flags = {}
  for _, key in ipairs(BOOLEANS) do
    local value = config[key]
    if value ~= nil and type(value) ~= "boolean" then
      local kind = type(value)
      if kind == "string" or kind == "number" then value = boolean(tostring(value)) else value = nil end
      if value == nil then return nil, ("%s: not a boolean: '%s'"):format(key, tostring(config[key])) end
    end
    flags[key] = value
  end
  return flags
end

-- Of the keys that go to OpenSSL as C strings: what is wrong, or nil.
local function examine_texts(config)
  for _, key in ipairs(TEXTS) do
    local value = text(config[key])
    if value and type(config[key]) ~= "string" and type(config[key]) ~= "number" then
      return ("%s: string expected, got %s"):format(key, type(config[key]))
    end
    if value and value:find("%z") then return key .. ": there is a NUL in it" end
  end
end

-- -- layer ------------------------------------------------------------------------------------------------------------

local VERSIONS = { tlsv1 = 1, ["tlsv1.0"] = 1, ["tlsv1.1"] = 2, ["tlsv1.2"] = 4, ["tlsv1.3"] = 8 } -- bits, see tls_context.h
local ALL, DEFAULT = 15, 12
local OLDER = { sslv2 = true, sslv3 = true, sslv23 = true } -- not there any more
local WORDS = { all = true, cipher_server_preference = true }
for name in pairs(VERSIONS) do WORDS[name] = true end
for name in pairs(OLDER) do WORDS[name] = true end

local function at_least(version)
  return bit.band(ALL, bit.bnot(version - 1))
end

local function at_most(version)
  return 2 * version - 1
end

-- What a part of a layer makes of the versions so far; nil when it is none.
local function apply(part, versions, is_first)
  local operator, name = part:match("^([<>!=]*)(.*)$")
  if name == "all" then return operator == "!" and 0 or ALL end
  if OLDER[name] then return (operator == "=" or operator == "<=") and 0 or versions end
  local version = VERSIONS[name]
  if not version then return nil end
  if operator == "" or operator == "=" then
    return (is_first or operator == "=") and version or bit.bor(versions, version)
  end
  if operator == "!" then return bit.band(versions, bit.bnot(version)) end
  if operator == ">=" then return at_least(version) end
  if operator ~= "<=" then return nil end
  local lower = bit.band(versions, at_most(version))
  return lower ~= 0 and lower or at_most(version)
end

-- OpenSSL has had many words for a layer, which changed nothing that counts now: such a one is logged and let pass.
-- But one that may be a version, or a word that is known here, misspelt, would leave more versions than the script
-- says. What is wrong, or nil.
local function examine_word(word)
  local nearest = check.nearest(word:match("^[<>!=]*(.*)$"), WORDS)
  local is_version = word:find("^[<>!=]") or word:find("tls") or word:find("ssl") or word:find("^v?%d")
  if nearest or (is_version and not word:find("_bug$")) then
    return ("layer: unknown part '%s'%s"):format(word, nearest and (" (did you mean '%s'?)"):format(nearest) or "")
  end
  mtev.log("error/tls", "lhotse: unknown part of a TLS layer: %s\n", word)
end

-- "base[:option,option...]" or a list of options: the bits of the versions, and whether the server's order of ciphers
-- counts; or nil and what is wrong. A base "tlsv1" before options means TLS as such.
local function parse_layer(layer)
  local versions, is_first, prefers_own = DEFAULT, true, false
  layer = layer:lower():gsub("%s", "")
  local base, options = layer:match("^(.-):(.*)$")
  if base and (base == "tlsv1" or base == "all" or OLDER[base]) then layer = options end
  for part in layer:gmatch("[^,:]+") do
    local new = apply(part, versions, is_first)
    if new then
      versions, is_first = new, is_first and OLDER[part:match("^!?(.*)$")] ~= nil
    elseif part == "cipher_server_preference" then
      prefers_own = true
    else
      local wrong = examine_word(part)
      if wrong then return nil, wrong end
    end
  end
  return versions, prefers_own
end

-- A program has few layers, and every handshake asks for one.
local known_versions, known_orders = {}, {}

local function layer_of(layer)
  if not layer then return DEFAULT, false end
  if not known_versions[layer] then
    local versions, prefers_own = parse_layer(layer)
    if not versions then return nil, prefers_own end
    known_versions[layer], known_orders[layer] = versions, prefers_own
  end
  return known_versions[layer], known_orders[layer]
end

-- -- alpn -------------------------------------------------------------------------------------------------------------

-- "h2,http/1.1" as on the wire.
local function parse_alpn(list)
  if not list or list == "none" then return nil end
  local wire = {}
  for name in list:gmatch("[^,%s]+") do
    if #name > 255 then return nil, "alpn: a name of more than 255 bytes" end
    wire[#wire + 1] = string.char(#name) .. name
  end
  return table.concat(wire)
end

-- -- Settings ---------------------------------------------------------------------------------------------------------

local HOST_KEYS = { certificate = true, certificate_file = true, key = true, key_file = true, true, true }

-- Of certificates[name], which has a certificate and its key, and nothing else to say: what is wrong, or nil.
local function examine_host(name, identity)
  if type(name) ~= "string" or name:find("%z") then
    return "certificates: a host's name must be a string without NUL"
  end
  if type(identity) ~= "table" then return "certificates: a table {certificate, key} expected for " .. name end
  for key, value in pairs(identity) do
    if not HOST_KEYS[key] then
      return ("certificates['%s']: %s"):format(name, check.unknown_option(tostring(key), HOST_KEYS))
    end
    if type(value) ~= "string" then
      return ("certificates['%s'].%s: string expected, got %s"):format(name, key, type(value))
    end
    if value:find("%z") then return ("certificates['%s'].%s: there is a NUL in it"):format(name, key) end
  end
end

local function parse_hosts(certificates)
  if not text(certificates) then return nil end
  if type(certificates) ~= "table" then return nil, "certificates: table expected, got " .. type(certificates) end
  local hosts = {}
  for name, identity in pairs(certificates) do
    local wrong = examine_host(name, identity)
    if wrong then return nil, wrong end
    hosts[#hosts + 1] = {
      name = name,
      certificate = first_text(identity, "certificate", "certificate_file", 1),
      key = first_text(identity, "key", "key_file", 2),
    }
  end
  table.sort(hosts, function(a, b) return a.name < b.name end)
  return hosts
end

-- The settings, or nil and what is wrong. `is_client`: whatever the table says of `server`.
local function settings_of(config, layer, is_client)
  local flags, bad_flags = read_booleans(config)
  if not flags then return nil, bad_flags end
  local wrong = examine_unknown(config) or examine_texts(config)
  if wrong then return nil, wrong end
  local is_server = flags.server and not is_client or false
  local versions, prefers_own_ciphers = layer_of(text(config.layer_openssl_11) or text(layer) or text(config.layer))
  if not versions then return nil, prefers_own_ciphers end
  local timeout = text(config.timeout)
  local seconds = timeout and tonumber(timeout)
  if timeout and (not seconds or seconds ~= seconds) then return nil, ("timeout: not a number: '%s'"):format(timeout) end
  if versions == 0 then return nil, "the layer leaves no version of TLS" end
  local alpn, bad_alpn = parse_alpn(text(config.alpn) or text(config.npn))
  local hosts, bad_hosts = parse_hosts(config.certificates)
  if bad_alpn or bad_hosts then return nil, bad_alpn or bad_hosts end
  local is_verifying = flags.verify
  if is_verifying == nil then is_verifying = not is_luamtev end
  return {
    is_server = is_server,
    certificate = first_text(config, "certificate", "certificate_file", "cert"),
    key = first_text(config, "key", "key_file"),
    ca = is_server and text(config.ca_accept) or first_text(config, "ca_chain", "ca_file"),
    crl = text(config.crl),
    ciphers = text(config.ciphers),
    versions = versions,
    prefers_own_ciphers = prefers_own_ciphers,
    alpn = alpn,
    hosts = hosts,
    is_verifying = is_verifying,
    accepts_unknown_issuer = flags.optional_no_ca,
    ignores_dates = flags.ignore_dates,
    requests_certificate = flags.request_client_cert,
    requires_certificate = flags.require_client_cert,
    timeout = seconds,
  }
end

core.tls_settings = settings_of

-- -- Contexts ---------------------------------------------------------------------------------------------------------

-- A script that hands in the same table again, unchanged, gets the same context at once. All of its keys count: one
-- that is not known has to be examined when it comes.
local known = setmetatable({}, { __mode = "k" }) -- config -> {context, settings, layer, copy of it, how many keys}

local function is_unchanged(config, entry)
  local copy, count = entry.copy, 0
  for key, value in next, config do
    if copy[key] ~= value then return false end
    count = count + 1
  end
  return count == entry.count
end

-- Not a table that may change unseen: by a table in it, or by its metatable.
local function may_remember(config)
  return not config.certificates and not getmetatable(config)
end

local function remember(config, entry)
  entry.copy, entry.count = core.copy(config), 0
  for _ in next, config do entry.count = entry.count + 1 end
  known[config] = entry
end

local function recall(config, layer)
  local entry = known[config]
  if not entry or entry.layer ~= layer or getmetatable(config) or not is_unchanged(config, entry) then return nil end
  return is_current(entry.context) and entry or nil
end

-- {context =, settings =}, or nil and what is wrong.
local function context_of(config, layer)
  local entry = recall(config, layer)
  if entry then return entry end
  local settings, message = settings_of(config, layer)
  if not settings then return nil, message end
  local context, reason = make_context(settings)
  if not context then return nil, reason end
  entry = { context = context, settings = settings, layer = layer }
  if may_remember(config) then remember(config, entry) end
  return entry
end

-- -- The method -------------------------------------------------------------------------------------------------------

local has_warned = false

local function warn_of_no_name()
  if has_warned then return end
  has_warned = true
  mtev.log("error/tls", "lhotse: ssl_upgrade_socket without snihost: the name in the peer's certificate is not checked\n")
end

local function fail(self, config, message)
  refuse(self)
  return -1, (config.server and "ssl_server" or "ssl_client") .. " context creation failed: " .. message
end

-- The name to verify; nil: there is none. `what`: how an error calls it.
local function name_of(snihost, settings, what)
  if settings.is_server or snihost == nil or snihost == false then return nil end
  if snihost == "" and not settings.is_verifying then return nil end
  return check.server_name(tostring(snihost), what, "ssl_upgrade_socket")
end

local function start(self, config, snihost, layer, what)
  local entry, message = context_of(config, layer)
  if not entry then return fail(self, config, message) end
  local name = name_of(snihost, entry.settings, what)
  if not name and not entry.settings.is_server and entry.settings.is_verifying then warn_of_no_name() end
  return upgrade(self, entry.context, name, entry.settings.timeout)
end

local function finish(rv, err, message)
  if err == nil then return rv end
  check_interrupted(err, message)
  return rv, err
end

local POSITIONS = { "certificate", "key", "ca_chain", "ciphers" }

function methods.ssl_upgrade_socket(self, certificate, key, ca, ciphers, snihost, layer)
  if type(certificate) == "table" then
    local name = check.opt_string(key, 2, "ssl_upgrade_socket")
    local over = check.opt_string(ca, 3, "ssl_upgrade_socket")
    if name ~= nil then return finish(start(self, certificate, name, over, "argument #2")) end
    return finish(start(self, certificate, certificate.snihost, over, "option 'snihost'"))
  end
  local config = {}
  for i, value in ipairs { certificate or false, key or false, ca or false, ciphers or false } do
    config[POSITIONS[i]] = value and check.string(value, i, "ssl_upgrade_socket") or nil
  end
  snihost, layer = check.opt_string(snihost, 5, "ssl_upgrade_socket"), check.opt_string(layer, 6, "ssl_upgrade_socket")
  return finish(start(self, config, snihost, layer, "argument #5"))
end
