import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

// This runs in the program under test before its own code. The program dies, as in a power cut, when it is about to
// rename a file that it has written.
fs.promises.rename = async () => {
  process.kill(process.pid, 'SIGKILL');
  await new Promise(() => {});
};
syncBuiltinESMExports();
