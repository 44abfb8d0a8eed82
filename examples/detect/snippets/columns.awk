#!/usr/bin/awk -f
# Sums a column for each key.
BEGIN {
    FS = "\t"
    OFS = "\t"
}

NR == 1 { next }

$3 ~ /^[0-9]+$/ {
    total[$1] += $3
    count[$1]++
}

END {
    for (key in total) {
        printf "%s%s%d%s%.2f\n", key, OFS, total[key], OFS, total[key] / count[key]
    }
}
