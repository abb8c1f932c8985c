pragma circom 2.1.0;

include "circomlib/circuits/comparators.circom";
include "credential.circom";

// Is the holder of a credential of age on a given day? The verifier sees the credential's digest, which the
// issuer published, the day and the answer; the credential itself stays private.
template OfAge(years) {
    signal input birth_year;
    signal input birth_day;   // day of the year, 1 to 366
    signal input document;
    signal input salt[4];
    signal input year;
    signal input day;

    signal output of_age;
    signal output credential;

    component reached = LessEqThan(24);
    reached.in[0] <== (birth_year + years) * 512 + birth_day;
    reached.in[1] <== year * 512 + day;
    of_age <== reached.out;

    component digest = Credential();
    digest.birth_year <== birth_year;
    digest.birth_day <== birth_day;
    digest.document <== document;
    for (var i = 0; i < 4; i++) {
        digest.salt[i] <== salt[i];
    }
    credential <== digest.out;
}

component main {public [year, day]} = OfAge(18);
