pragma circom 2.1.0;

include "circomlib/circuits/poseidon.circom";

// The digest that an issuer publishes for a credential; the salt keeps the few possible birthdays from being tried.
template Credential() {
    signal input birth_year;
    signal input birth_day;
    signal input document;
    signal input salt[4];
    signal output out;

    component hash = Poseidon(7);
    hash.inputs[0] <== birth_year;
    hash.inputs[1] <== birth_day;
    hash.inputs[2] <== document;
    for (var i = 0; i < 4; i++) {
        hash.inputs[3 + i] <== salt[i];
    }
    out <== hash.out;
}
