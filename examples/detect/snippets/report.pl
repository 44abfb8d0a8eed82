#!/usr/bin/perl
use strict;
use warnings;

my %total;
while (my $line = <STDIN>) {
    chomp $line;
    next if $line =~ /^\s*#/;
    my ($name, $amount) = split /\s*,\s*/, $line;
    next unless defined $amount && $amount =~ /^\d+(?:\.\d+)?$/;
    $total{$name} += $amount;
}

foreach my $name (sort { $total{$b} <=> $total{$a} } keys %total) {
    printf "%-20s %10.2f\n", $name, $total{$name};
}

sub trim {
    my ($text) = @_;
    $text =~ s/^\s+|\s+$//g;
    return $text;
}
1;
