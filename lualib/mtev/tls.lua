-- e:ssl_upgrade_socket: the forms of its arguments, made into the settings that src/mtev/tls.c takes.

local mtev, core = ...
local bit = require("bit")
local methods, INTERRUPTED = core.eventer_methods, core.INTERRUPTED
local make_context, is_current, upgrade, refuse = core.tls_context, core.tls_is_current, core.tls_upgrade, core.tls_refuse
local is_luamtev, check = core.is_luamtev, core.check
local type, tostring, tonumber = type, tostring, tonumber

-- -- Values: scripts read them from configurations, where everything is text --------------------------------------------

local TRUE = { ["true"] = true, on = true, yes = true, ["1"] = true }

local function is_true(value)
  if not value then return false end
  return value == true or TRUE[tostring(value):lower()] or false
end

local function text(value)
  if value == nil or value == false or value == "" then return nil end
  return tostring(value)
end

-- -- layer ------------------------------------------------------------------------------------------------------------

local VERSIONS = { tlsv1 = 1, ["tlsv1.0"] = 1, ["tlsv1.1"] = 2, ["tlsv1.2"] = 4, ["tlsv1.3"] = 8 } -- bits, see tls_context.h
local ALL, DEFAULT = 15, 12
local NOT_THERE = { sslv2 = true, sslv3 = true, sslv23 = true, ["!sslv2"] = true, ["!sslv3"] = true }

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

-- "base[:option,option...]" or a list of options: the bits of the versions, and whether the server's order of ciphers counts.
-- A base "tlsv1" before options means TLS as such.
local function parse_layer(layer)
  local versions, is_first, prefers_own = DEFAULT, true, false
  layer = layer:lower():gsub("%s", "")
  local base, options = layer:match("^(.-):(.*)$")
  if base and (base == "tlsv1" or NOT_THERE[base] or not VERSIONS[base]) then layer = options end
  for part in layer:gmatch("[^,:]+") do
    local new = apply(part, versions, is_first)
    if new then
      versions, is_first = new, false
    elseif part == "cipher_server_preference" then
      prefers_own = true
    elseif not NOT_THERE[part] then
      mtev.log("error/tls", "lhotse: unknown part of a TLS layer: %s\n", part)
    end
  end
  return versions, prefers_own
end

-- A program has few layers, and every handshake asks for one.
local known_versions, known_orders = {}, {}

local function layer_of(layer)
  if not layer then return DEFAULT, false end
  if not known_versions[layer] then known_versions[layer], known_orders[layer] = parse_layer(layer) end
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

local function parse_hosts(certificates)
  if type(certificates) ~= "table" then return nil end
  local hosts = {}
  for name, identity in pairs(certificates) do
    if type(identity) ~= "table" then return nil, "certificates: a table {certificate, key} expected for " .. tostring(name) end
    hosts[#hosts + 1] = {
      name = tostring(name),
      certificate = text(identity.certificate or identity.certificate_file or identity[1]),
      key = text(identity.key or identity.key_file or identity[2]),
    }
  end
  table.sort(hosts, function(a, b) return a.name < b.name end)
  return hosts
end

-- The settings, or nil and what is wrong.
local function settings_of(config, layer)
  local is_server = is_true(config.server)
  local versions, prefers_own_ciphers = layer_of(text(config.layer_openssl_11) or text(layer) or text(config.layer))
  if versions == 0 then return nil, "the layer leaves no version of TLS" end
  local alpn, bad_alpn = parse_alpn(text(config.alpn) or text(config.npn))
  local hosts, bad_hosts = parse_hosts(config.certificates)
  if bad_alpn or bad_hosts then return nil, bad_alpn or bad_hosts end
  local is_verifying = not is_luamtev
  if config.verify ~= nil then is_verifying = is_true(config.verify) end
  return {
    is_server = is_server,
    certificate = text(config.certificate or config.certificate_file),
    key = text(config.key or config.key_file),
    ca = is_server and text(config.ca_accept) or text(config.ca_chain or config.ca_file),
    crl = text(config.crl),
    ciphers = text(config.ciphers),
    versions = versions,
    prefers_own_ciphers = prefers_own_ciphers,
    alpn = alpn,
    hosts = hosts,
    is_verifying = is_verifying,
    accepts_unknown_issuer = is_true(config.optional_no_ca),
    ignores_dates = is_true(config.ignore_dates),
    requests_certificate = is_true(config.request_client_cert),
    requires_certificate = is_true(config.require_client_cert),
  }
end

core.tls_settings = settings_of

-- -- Contexts ---------------------------------------------------------------------------------------------------------

-- What settings are made of. A script that hands in the same table again, unchanged, gets the same context at once.
local KEYS = {
  "server", "certificate", "certificates", "certificate_file", "key", "key_file", "ca_chain", "ca_file", "ca_accept", "crl", "ciphers", "layer",
  "layer_openssl_11", "alpn", "npn", "verify", "optional_no_ca", "ignore_dates", "request_client_cert", "require_client_cert",
}
local KEY_COUNT = #KEYS

local known = setmetatable({}, { __mode = "k" }) -- config -> {context, settings, layer, copy of what KEYS were}

local function is_unchanged(config, copy)
  for i = 1, KEY_COUNT do
    if config[KEYS[i]] ~= copy[i] then return false end
  end
  return true
end

local function remember(config, entry)
  for i = 1, KEY_COUNT do entry.copy[i] = config[KEYS[i]] end
  known[config] = entry
end

-- {context =, settings =}, or nil and what is wrong.
local function context_of(config, layer)
  local entry = known[config]
  if entry and entry.layer == layer and is_unchanged(config, entry.copy) and is_current(entry.context) then return entry end
  local settings, message = settings_of(config, layer)
  if not settings then return nil, message end
  local context, reason = make_context(settings)
  if not context then return nil, reason end
  entry = { context = context, settings = settings, layer = layer, copy = {} }
  if not config.certificates then remember(config, entry) end -- a table in it may change unseen
  return entry
end

-- -- The method -------------------------------------------------------------------------------------------------------

local has_warned = false

local function warn_of_no_name()
  if has_warned then return end
  has_warned = true
  mtev.log("error/tls", "lhotse: ssl_upgrade_socket without snihost: the name in the peer's certificate is not checked\n")
end

local function start(self, config, snihost, layer)
  local entry, message = context_of(config, layer)
  if not entry then
    refuse(self)
    return -1, (is_true(config.server) and "ssl_server" or "ssl_client") .. " context creation failed: " .. message
  end
  local name
  if not entry.settings.is_server then
    name = snihost
    if not name and entry.settings.is_verifying then warn_of_no_name() end
  end
  return upgrade(self, entry.context, name, tonumber(config.timeout))
end

local function finish(rv, err, message)
  if err == nil then return rv end
  if err == INTERRUPTED then error(message, 0) end
  return rv, err
end

local POSITIONS = { "certificate", "key", "ca_chain", "ciphers" }

function methods.ssl_upgrade_socket(self, certificate, key, ca, ciphers, snihost, layer)
  if type(certificate) == "table" then
    local name = check.opt_string(key, 2, "ssl_upgrade_socket")
    local over = check.opt_string(ca, 3, "ssl_upgrade_socket")
    return finish(start(self, certificate, text(name) or text(certificate.snihost), over))
  end
  local config = {}
  for i, value in ipairs { certificate or false, key or false, ca or false, ciphers or false } do
    config[POSITIONS[i]] = value and check.string(value, i, "ssl_upgrade_socket") or nil
  end
  snihost, layer = check.opt_string(snihost, 5, "ssl_upgrade_socket"), check.opt_string(layer, 6, "ssl_upgrade_socket")
  return finish(start(self, config, text(snihost), layer))
end
