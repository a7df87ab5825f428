import * as vega from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import { darkStyle, plotConfig } from './plot-theme.ts';

/** Vega's types leave these out. */
const { resetSVGDefIds, textMetrics } = vega as unknown as {
  resetSVGDefIds: () => void;
  textMetrics: { canvas(use: boolean): void };
};

/** The same specification gives the same bytes, whatever fonts the machine has. */
export async function renderPlot(spec: TopLevelSpec): Promise<string> {
  // Widths of text are estimated, with or without the optional package that would measure them.
  textMetrics.canvas(false);
  // Numbered from 0 in each plot, not in all of a process.
  resetSVGDefIds();
  const compiled = compile(spec, { config: plotConfig });
  const view = new vega.View(vega.parse(compiled.spec), { renderer: 'none' });
  try {
    const svg = await view.toSVG();
    return `${svg.replace(/<svg[^>]*>/, (tag) => `${tag}${darkStyle}`)}\n`;
  } finally {
    view.finalize();
  }
}
