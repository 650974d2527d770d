//! The peers' configuration files. `docs/performance.md` gives the reasons.

/// HAProxy: full HTTP to the socket, a log line per request.
pub(super) fn haproxy(port: u16, both: &str, ca: &str, socket: &str) -> String {
    format!(
        "global
    nbthread 2
    maxconn 9000
    log stdout format raw local0 info
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
    tune.ssl.cachesize 0
defaults
    mode http
    log global
    option httplog
    option http-no-delay
    http-reuse always
    timeout connect 5s
    timeout http-request 30s
    timeout client 1h
    timeout server 1h
    timeout tunnel 24h
frontend gate
    bind 127.0.0.1:{port} ssl crt {both} ca-file {ca} verify required alpn http/1.1
    default_backend engine
backend engine
    server engine unix@{socket} pool-max-conn -1 pool-purge-delay 60s
"
    )
}

/// nginx: what both of its uses share.
pub(super) fn nginx(temp: &str, log: &str, server: &str) -> String {
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        "{user}
daemon off;
worker_processes 2;
worker_rlimit_nofile 20000;
pid {temp}/nginx.pid;
events {{ worker_connections 16384; }}
http {{
    access_log {log};
    client_body_temp_path {temp}/body;
    proxy_temp_path {temp}/proxy;
    fastcgi_temp_path {temp}/fastcgi;
    uwsgi_temp_path {temp}/uwsgi;
    scgi_temp_path {temp}/scgi;
    {server}
}}
"
    )
}

/// nginx straight to the socket, tuned.
pub(super) fn nginx_server(port: u16, tls: &str, socket: &str) -> String {
    format!(
        "tcp_nodelay on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream engine {{ server unix:{socket}; keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 1h; }}
    server {{
        listen 127.0.0.1:{port} ssl reuseport backlog=4096;
        {tls}
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache off;
        ssl_session_tickets off;
        client_max_body_size 0;
        location / {{
            proxy_pass http://engine;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_buffer_size 16k;
            proxy_buffers 4 16k;
            proxy_busy_buffers_size 32k;
            proxy_read_timeout 24h;
            proxy_send_timeout 24h;
        }}
    }}"
    )
}

/// stunnel: TLS alone, a log line per connection.
pub(super) fn stunnel(
    port: u16,
    socket: &str,
    cert: &str,
    key_file: &str,
    ca: &str,
    log: &str,
) -> String {
    format!(
        "foreground = yes\npid =\ndebug = 5\noutput = {log}\nsyslog = no\n\
                     socket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n\
                     [engine]\naccept = 127.0.0.1:{port}\nconnect = {socket}\ncert = {cert}\nkey = {key_file}\n\
                     CAfile = {ca}\nverifyChain = yes\nrequireCert = yes\nsslVersionMin = TLSv1.2\n\
                     options = NO_TICKET\nsessionCacheSize = 1\nTIMEOUTidle = 86400\n"
    )
}
