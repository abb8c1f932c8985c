// SPDX-License-Identifier: GPL-3.0-or-later
// Runs calls of snarkjs in one process. Standard input: JSON [[module, function, ...arguments], ...], for example
// ["zKey", "verifyFromR1cs", "c.r1cs", "p.ptau", "k.zkey"]. Standard output: JSON of their results; bytes become hex, and
// an exception becomes {error}. ["curve", name] as an argument stands for the curve object.
import { readFileSync } from "node:fs";
import * as snarkjs from "snarkjs";

const plain = (value) => (value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value);
const results = [];
for (const [module, name, ...given] of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    const args = await Promise.all(
      given.map((each) => (Array.isArray(each) && each[0] === "curve" ? snarkjs.curves.getCurveFromName(each[1]) : each)),
    );
    results.push(plain(await snarkjs[module][name](...args)) ?? null);
  } catch (error) {
    results.push({ error: String(error) });
  }
}
console.log(JSON.stringify(results));
process.exit(0);
