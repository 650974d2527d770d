#!/bin/sh
# usage: by-dockgate.sh HOST [DIR]
# A CA, a server certificate for HOST and a client certificate, in the layout of Docker's guide.
set -eu

host=${1:?usage: by-dockgate.sh HOST [DIR]}
dir=${2:-$(dirname "$0")/certs}
dockgate=${DOCKGATE:-dockgate}

"$dockgate" certs init --dir "$dir" --san "$host"
"$dockgate" certs client client --dir "$dir" --days 825 --out "$dir/client.new"

# Docker's guide keeps the client's files beside the server's.
mv "$dir/client.new/cert.pem" "$dir/client.new/key.pem" "$dir/"
rm "$dir/client.new/ca.pem"
rmdir "$dir/client.new"
