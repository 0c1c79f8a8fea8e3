// Verifies tokens with the module that argv names, one per line of standard input, until it ends.
// Answers with one line of JSON each.  Tokens never stand in argv, where others could see them.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { verify, unavailable } = await import(pathToFileURL(process.argv[2]));
for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { claims: await verify(JSON.parse(line)) };
  } catch (error) {
    answer = { refused: `${error.name}: ${error.message}`, unavailable: unavailable(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
