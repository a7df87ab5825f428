import type { Context } from '../context.ts';
import { BarView } from './bar-view.ts';
import { JsonView } from './json-view.ts';
import { LinesView } from './lines-view.ts';
import type { PullView } from './pull-view.ts';

/**
 * The view that fits: JSON lines if asked for, a bar on a terminal, plain lines otherwise.
 *
 * @param beside Show it on standard error, because standard output carries the file itself.
 */
export function openView({ config, output, now }: Context, beside: boolean): PullView {
  if (output.json) return new JsonView((value) => output.value(value));
  const terminal = beside ? output.stderr : output.stdout;
  if (terminal.isTTY === true && config.redraw) return new BarView(terminal, now);
  return new LinesView((text) => terminal.write(`${text}\n`), now);
}
