#!/bin/sh
# usage: by-openssl.sh HOST [DIR]
# What by-dockgate.sh makes, step by step with openssl: for those who want to see each field. HOST is a DNS name.
set -eu

host=${1:?usage: by-openssl.sh HOST [DIR]}
dir=${2:-$(dirname "$0")/certs}

umask 077
mkdir -p "$dir"
cd "$dir"
for file in ca.pem ca-key.pem server-cert.pem server-key.pem cert.pem key.pem; do
    if [ -e "$file" ]; then
        echo "$dir/$file already exists; move it away first" >&2
        exit 1
    fi
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
}

# The CA: basicConstraints and keyUsage critical, or strict clients refuse everything below it.
key ca-key.pem
openssl req -x509 -new -key ca-key.pem -sha256 -days 3650 -subj "/CN=Docker CA" -out ca.pem \
    -addext "basicConstraints=critical,CA:TRUE,pathlen:0" \
    -addext "keyUsage=critical,keyCertSign,cRLSign"

# leaf KEY CERT SUBJECT: reads the extensions from standard input.
leaf() {
    key "$1"
    openssl req -new -key "$1" -subj "$3" -out "$work/request.pem"
    cat - > "$work/extensions"
    openssl x509 -req -in "$work/request.pem" -CA ca.pem -CAkey ca-key.pem \
        -set_serial "0x40$(openssl rand -hex 18)" -sha256 -days 825 -extfile "$work/extensions" -out "$2"
}

leaf server-key.pem server-cert.pem "/CN=$host" <<END
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
subjectAltName=DNS:$host,DNS:localhost,IP:127.0.0.1,IP:::1
END

leaf key.pem cert.pem "/CN=client" <<END
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=clientAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
END

chmod 0644 ca.pem server-cert.pem cert.pem
chmod 0600 ca-key.pem server-key.pem key.pem
echo "made ca.pem, server-cert.pem, server-key.pem, cert.pem and key.pem in $dir"
