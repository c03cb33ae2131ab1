-- Certificates for specs: two authorities and what they signed, made by openssl(1) in a directory of its own.

local files = require("test.support.files")
local process = require("test.support.process")

local certificates = {}

local CONFIG = [[
[ca]
default_ca = ca
[ca]
dir = %s
database = $dir/index.txt
new_certs_dir = $dir
serial = $dir/serial
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
unique_subject = no
copy_extensions = none
[any]
countryName = optional
organizationName = optional
commonName = optional
[authority]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
]]

local Authority = {}
Authority.__index = Authority

local function run(command, ...)
  local output, status = process.sh(command:format(...))
  if status ~= 0 then error(command .. ": " .. output) end
end

local function request(path, subject)
  run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout '%s.key' -out '%s.csr' -subj '%s'", path, path, subject)
end

-- An authority that signed itself.
function certificates.authority(dir, name)
  local self = setmetatable({ dir = dir .. "/" .. name, name = name }, Authority)
  assert(mtev.mkdir(self.dir))
  files.write(self.dir .. "/index.txt", "")
  files.write(self.dir .. "/serial", "1000\n")
  self.config = self.dir .. "/ca.cnf"
  files.write(self.config, CONFIG:format(self.dir))
  self.key, self.certificate = self.dir .. "/ca.key", self.dir .. "/ca.pem"
  run("openssl req -x509 -config '%s' -extensions authority -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 " ..
    "-keyout '%s' -out '%s' -subj '/O=Spec/CN=%s'", self.config, self.key, self.certificate, name)
  return self
end

-- Signs a certificate {certificate =, key =} (paths). extensions: lines for openssl.cnf; dates: "-startdate ... -enddate ...".
function Authority:issue(name, subject, extensions, dates)
  local path = self.dir .. "/" .. name
  request(path, subject)
  files.write(path .. ".ext", extensions or "")
  run("openssl ca -batch -notext -config '%s' -cert '%s' -keyfile '%s' -in '%s.csr' -out '%s.pem' -extfile '%s.ext' %s",
    self.config, self.certificate, self.key, path, path, path, dates or "")
  return { certificate = path .. ".pem", key = path .. ".key" }
end

-- Another authority, signed by this one.
function Authority:intermediate(name)
  local issued = self:issue(name, "/O=Spec/CN=" .. name, "basicConstraints=critical,CA:true\nkeyUsage=keyCertSign,cRLSign")
  local other = certificates.authority(self.dir, name .. "-dir")
  other.key, other.certificate = issued.key, issued.certificate
  return other
end

function Authority:revoke(issued)
  run("openssl ca -config '%s' -cert '%s' -keyfile '%s' -revoke '%s'", self.config, self.certificate, self.key, issued.certificate)
end

-- The path of a fresh revocation list.
function Authority:revocations()
  local path = self.dir .. "/crl.pem"
  run("openssl ca -gencrl -config '%s' -cert '%s' -keyfile '%s' -out '%s'", self.config, self.certificate, self.key, path)
  return path
end

-- A certificate that only its own key has signed.
function certificates.self_signed(dir, name)
  local path = dir .. "/self"
  run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout '%s.key' -out '%s.pem' " ..
    "-subj '/CN=%s' -addext 'subjectAltName=DNS:%s'", path, path, name, name)
  return { certificate = path .. ".pem", key = path .. ".key" }
end

return certificates
