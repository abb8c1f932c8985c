// SPDX-License-Identifier: GPL-3.0-or-later
// snarkjs as an independent judge, in one process. Standard input: JSON with any of
//   verifyingKey and cases [{proof, publicInputs}]  ->  verdicts [true | false]; an exception counts as false
//   r1cs, wtns (paths)                              ->  info {constraints, wires, outputs}, satisfied
import { readFileSync } from "node:fs";
import * as snarkjs from "snarkjs";

const request = JSON.parse(readFileSync(0, "utf8"));
const answer = {};
// Without a logger snarkjs fails where it wants to say what is wrong.
const silent = { debug() {}, info() {}, warn() {}, error() {} };

if (request.cases) {
  answer.verdicts = [];
  for (const { proof, publicInputs } of request.cases) {
    try {
      answer.verdicts.push(await snarkjs.groth16.verify(request.verifyingKey, publicInputs, proof));
    } catch {
      answer.verdicts.push(false);
    }
  }
}
if (request.r1cs) {
  const info = await snarkjs.r1cs.info(request.r1cs);
  answer.info = { constraints: info.nConstraints, wires: info.nVars, outputs: info.nOutputs };
  answer.satisfied = await snarkjs.wtns.check(request.r1cs, request.wtns, silent);
}
console.log(JSON.stringify(answer));
process.exit(0);
