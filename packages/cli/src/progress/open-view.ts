import type { Context } from '../context.ts';
import { BarView } from './bar-view.ts';
import { JsonView } from './json-view.ts';
import { LinesView } from './lines-view.ts';
import type { ProgressView } from './progress-view.ts';

/**
 * Returns the view for this output: JSON lines with `--json`, a bar on a terminal, plain lines otherwise.
 *
 * @param onStderr Show progress on standard error, because standard output receives the file.
 */
export function openView({ config, output, now }: Context, onStderr: boolean): ProgressView {
  if (output.json) return new JsonView((value) => output.value(value));
  const terminal = onStderr ? output.stderr : output.stdout;
  if (terminal.isTTY === true && config.redraw) return new BarView(terminal, now);
  return new LinesView((text) => terminal.write(`${text}\n`), now);
}
