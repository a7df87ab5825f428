import * as vega from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import { darkStyle, plotConfig } from './plot-theme.ts';

/** Properties that Vega's types lack. */
const { resetSVGDefIds, textMetrics } = vega as unknown as {
  resetSVGDefIds: () => void;
  textMetrics: { canvas(use: boolean): void };
};

/** Deterministic: the same specification gives the same bytes, independent of installed fonts. */
export async function renderPlot(spec: TopLevelSpec): Promise<string> {
  // Widths of text are always estimated, even if the optional package that measures them is installed.
  textMetrics.canvas(false);
  // Numbers start from 0 in each plot, not once per process.
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
