#!/bin/sh
# multipart.sh PART... - writes one user-data of several to stdout: a MIME message, packed by gzip. Each part's kind is told by its
# first line. Templates of Mayfly's cannot be parts: their first line must be the first.
#   docs/examples/user-data/multipart.sh site.yaml start.sh >user-data && mayfly provision ... --user-data user-data
set -eu
[ $# -gt 0 ] || { echo "usage: multipart.sh PART..." >&2; exit 2; }
boundary=mayfly-$$-$(date +%s)
{
    printf 'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="%s"\n\n' "$boundary"
    for part; do
        case $(head -n 1 "$part") in
        '#cloud-config'*) type=text/cloud-config ;;
        '#!'*) type=text/x-shellscript ;;
        '#include'*) type=text/x-include-url ;;
        '#cloud-boothook'*) type=text/cloud-boothook ;;
        *) echo "multipart.sh: $part: its first line says no kind that cloud-init knows" >&2; exit 1 ;;
        esac
        printf -- '--%s\nContent-Type: %s; charset="utf-8"\nContent-Disposition: attachment; filename="%s"\n\n' "$boundary" "$type" "${part##*/}"
        cat "$part"
        echo
    done
    printf -- '--%s--\n' "$boundary"
} | gzip -n -9
