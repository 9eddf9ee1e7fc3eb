// Validates FHIR resources, one on each line of the input, with the npm package `fhir`. Each line of the output says what is wrong
// with one: its number, where, and why.
const { Fhir } = require("fhir");
const lines = require("fs").readFileSync(0, "utf8").split("\n").filter((line) => line);
const fhir = new Fhir();
lines.forEach((line, number) => {
  for (const found of fhir.validate(JSON.parse(line), { errorOnUnexpected: true }).messages) {
    if (found.severity === "error" || found.severity === "fatal") {
      console.log(`${number} ${found.location}: ${found.message}`);
    }
  }
});
