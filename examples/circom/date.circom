// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.0;

// A number for a date, larger for later ones.
template Date() {
    signal input year;
    signal input day;
    signal output order;
    order <== year * 512 + day;
}
