// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.0;

include "circomlib/circuits/comparators.circom";
include "date.circom";

// Is somebody of age on a given day? The day is public. The date of birth is private, and in a commitment of its
// own (group 1 of inputs.toml), which an issuer attested once: the statement shows it beside the answer.
template OfAge(years) {
    signal input birth_year;
    signal input birth_day;   // day of the year, 1 to 366
    signal input year;
    signal input day;
    signal output of_age;

    component born = Date();
    born.year <== birth_year + years;
    born.day <== birth_day;

    component today = Date();
    today.year <== year;
    today.day <== day;

    component reached = LessEqThan(21);
    reached.in[0] <== born.order;
    reached.in[1] <== today.order;
    of_age <== reached.out;
}

component main {public [year, day]} = OfAge(18);
