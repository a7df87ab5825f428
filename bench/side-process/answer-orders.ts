import { createInterface } from 'node:readline';

/** Makes this process a `SideProcess`: handles one request after another until input ends. */
export async function answerOrders(answer: (order: unknown) => Promise<unknown>): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const reply = await answer(JSON.parse(line));
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
}
