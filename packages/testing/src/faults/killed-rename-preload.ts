import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

// Runs inside the program under test, before anything of its own: it dies, as by a power cut, when it is about to give a
// file that it has written its name.
fs.promises.rename = async () => {
  process.kill(process.pid, 'SIGKILL');
  await new Promise(() => {});
};
syncBuiltinESMExports();
