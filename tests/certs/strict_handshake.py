"""A mutual handshake in memory, both sides as strict as Python 3.13 is by default."""
import ssl
import sys

ca, server_cert, server_key, client_cert, client_key, host = sys.argv[1:]
STRICT = ssl.VERIFY_X509_STRICT | getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0)


def context(purpose, cert, key):
    made = ssl.create_default_context(purpose, cafile=ca)
    made.load_cert_chain(cert, key)
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= STRICT
    return made


server = context(ssl.Purpose.CLIENT_AUTH, server_cert, server_key)
client = context(ssl.Purpose.SERVER_AUTH, client_cert, client_key)
up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
ends = [client.wrap_bio(down, up, server_hostname=host), server.wrap_bio(up, down, server_side=True)]
waiting = list(ends)
for _ in range(20):
    for end in list(waiting):
        try:
            end.do_handshake()
            waiting.remove(end)
        except ssl.SSLWantReadError:
            pass
    if not waiting:
        break
else:
    sys.exit("the handshake did not finish")
print(dict(pair[0] for pair in ends[1].getpeercert()["subject"])["commonName"])
