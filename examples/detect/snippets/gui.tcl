#!/usr/bin/env tclsh
package require Tk

namespace eval ::counter {
    variable value 0
}

proc ::counter::increment {{step 1}} {
    variable value
    incr value $step
    if {$value > 100} {
        set value 0
    }
    return $value
}

button .plus -text "+" -command {::counter::increment}
label .shown -textvariable ::counter::value
pack .plus .shown -side left -padx 4

foreach {key step} {Up 1 Down -1} {
    bind . <$key> [list ::counter::increment $step]
}
puts [format "started at %d" $::counter::value]
