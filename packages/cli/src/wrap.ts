/** Lines of at most `width` characters with their indent, unless one word alone is longer. */
export function wrapWords(text: string, indent: string, width: number): string[] {
  return fill(text.split(' '), width - indent.length).map((line) => `${indent}${line}`);
}

/** A shell's command line, continued as a shell reads it: by a backslash, and never inside of quotes. */
export function wrapExample(line: string, indent: string, width: number): string[] {
  const words = line.match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? [];
  const continuation = ' \\';
  // A flag and its value, an operator and what follows it, stay together.
  const pieces: string[] = [];
  for (const word of words) {
    const last = pieces.at(-1);
    const joins = last !== undefined && /^(--?\S+|[|>])$/.test(last) && !/^[-|>]/.test(word);
    if (joins) pieces[pieces.length - 1] = `${last} ${word}`;
    else pieces.push(word);
  }
  const room = width - indent.length - continuation.length;
  const [first = '', ...rest] = fill(pieces, room, TEXT_INDENT);
  return [first, ...rest].map(
    (text, index, all) =>
      `${indent}${index === 0 ? '' : TEXT_INDENT}${text}${index < all.length - 1 ? continuation : ''}`,
  );
}

const TEXT_INDENT = '    ';

/** @param hanging Indent of all lines but the first, which takes from their width. */
function fill(words: readonly string[], width: number, hanging = ''): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    const room = lines.length > 1 ? width - hanging.length : width;
    if (last !== undefined && last.length + 1 + word.length <= room)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
