// Validates an AsyncAPI document, whose file is the argument. Prints every diagnostic; none, if it is valid.
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

const { diagnostics } = await new Parser().parse(await readFile(process.argv[2], "utf8"));
for (const { severity, code, path, message } of diagnostics) {
  console.log(`${severity} ${code} ${path.join("/")}: ${message}`);
}
