#!/bin/sh
# Keeps the last seven archives of a folder.
set -eu

source_dir=${1:?usage: backup.sh FOLDER}
target=/var/backups/$(basename "$source_dir")
stamp=$(date +%Y%m%d-%H%M%S)

mkdir -p "$target"
tar -czf "$target/$stamp.tar.gz" -C "$(dirname "$source_dir")" "$(basename "$source_dir")"

count=0
for archive in $(ls -1t "$target"/*.tar.gz); do
    count=$((count + 1))
    if [ "$count" -gt 7 ]; then
        echo "removing $archive" >&2
        rm -f -- "$archive"
    fi
done
