/** A fenced block of a page. */
export interface Block {
  readonly page: string;
  /** Line number of its fence, from 1. */
  readonly line: number;
  readonly language: string;
  readonly text: string;
  /** Requirement that a test machine does not meet: `<!-- needs: aws -->` before the fence. */
  readonly needs: string | null;
  /** The prose between the previous block and this one. */
  readonly before: string;
}

const needsMark = /^<!-- needs: (aws|docker|windows) -->$/m;

/** Returns the blocks of a page. The indentation of list items is removed from blocks in them. */
export function blocksOf(page: string, text: string): Block[] {
  const blocks: Block[] = [];
  let before: string[] = [];
  let open: { readonly line: number; readonly indent: string; readonly language: string } | undefined;
  let lines: string[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const fence = /^(\s*)```(\w*)\s*$/.exec(line);
    if (fence === null) {
      if (open === undefined) before.push(line);
      else lines.push(line.startsWith(open.indent) ? line.slice(open.indent.length) : line);
    } else if (open === undefined) {
      open = { line: index + 1, indent: fence[1] ?? '', language: fence[2] ?? '' };
      lines = [];
    } else {
      const prose = before.join('\n');
      const needs = needsMark.exec(prose.trimEnd().split('\n').at(-1) ?? '')?.[1] ?? null;
      blocks.push({ page, ...open, text: `${lines.join('\n')}\n`, needs, before: prose });
      before = [];
      open = undefined;
    }
  }
  return blocks;
}
