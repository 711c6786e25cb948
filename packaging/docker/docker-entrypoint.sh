#!/bin/sh
set -e

# `docker run tandem --port 7000` and `docker run tandem my.conf` mean the server.
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
    set -- redis-server "$@"
fi

# The server under either of its names.
is_server() {
    [ "$1" = redis-server ] || [ "$1" = tandem-server ]
}

# Root gives the data folder to the server's user and becomes that user.
if is_server "$1" && [ "$(id -u)" = 0 ]; then
    find . \! -user redis -exec chown redis '{}' +
    exec setpriv --reuid=redis --regid=redis --init-groups "$0" "$@"
fi

# What the server writes is its own business, unless the container's user says otherwise.
if [ "$(umask)" = 0022 ]; then
    umask 0077
fi

# Whoever publishes the port of a container says who may reach it; without this, nobody could. It
# stands in for the default only: an option wins over a file, so it is not given when the operator
# says protected-mode himself, or may say it where we do not look (standard input, included files).
says_protected_mode() {
    # Directives are the same in any case, and one word may hold name and value.
    for arg; do
        case "$(printf %s "$arg" | tr '[:upper:]' '[:lower:]')" in
        - | --protected-mode* | --include*) return 0 ;;
        esac
    done
    case "$1" in
    '' | -*) return 1 ;;
    esac
    grep -qiE '^[[:space:]]*["'\'']?(protected-mode|include)' "$1" 2>/dev/null
}

if is_server "$1"; then
    server=$1
    shift
    says_protected_mode "$@" || set -- "$@" --protected-mode no
    set -- "$server" "$@"
fi

exec "$@"
