import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { temporaryDirectory } from '../../test/harness/temporary-directory.ts';
import { benchProcess } from '../bench-process.ts';

await using results = await temporaryDirectory();

/** Measures forever, with its own file and program. */
await benchProcess({
  experiments: [
    {
      name: 'endless',
      title: 'Runs indefinitely',
      about: 'Nothing.',
      async run({ directory, say, signal }) {
        await writeFile(directory.join('a-file'), 'x');
        const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 60_000)'], { signal });
        const exit = once(child, 'exit');
        await once(child, 'spawn');
        say('measuring');
        try {
          await exit;
        } catch {
          // The child was aborted and killed but has not exited yet.
          await once(child, 'close');
        }
        return { measurements: [], requirements: [], notes: [] };
      },
    },
  ],
  build: async () => {},
  resultsFile: results.join('results.json'),
});
