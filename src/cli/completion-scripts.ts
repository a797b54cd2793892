// SPDX-License-Identifier: Apache-2.0

interface CompletionWord {
  readonly name: string;
  /** Empty: shown without one. */
  readonly meaning: string;
}

/** What can be completed: the commands, and the flags of each. */
export type CompletionTree = readonly (CompletionWord & { readonly flags: readonly CompletionWord[] })[];

type Renderer = (program: string, tree: CompletionTree) => string;

const words = (list: readonly CompletionWord[]): string => list.map(({ name }) => name).join(" ");
const functionName = (program: string): string => `_${program.replaceAll(/[^A-Za-z0-9]/g, "_")}_complete`;
/** A text in single quotes for a POSIX shell and for fish. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

function bash(program: string, tree: CompletionTree): string {
  const name = functionName(program);
  const cases = tree.map((command) => `    ${command.name}) choices=${quoted(words(command.flags))} ;;`);
  return `# bash completion for ${program}
${name}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" choices=''
  if [ "$COMP_CWORD" -eq 1 ]; then choices=${quoted(words(tree))}; else
    case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$choices" -- "$current"))
}
complete -o default -F ${name} ${program}
`;
}

function zsh(program: string, tree: CompletionTree): string {
  const name = functionName(program);
  const item = ({ name: word, meaning }: CompletionWord): string =>
    quoted(meaning === "" ? word : `${word.replaceAll(":", "\\:")}:${meaning}`);
  const cases = tree.map((command) => `    ${command.name}) choices=(${command.flags.map(item).join(" ")}) ;;`);
  return `#compdef ${program}
# zsh completion for ${program}
${name}() {
  local -a choices
  if (( CURRENT == 2 )); then choices=(${tree.map(item).join(" ")}); else
    case "$words[2]" in
${cases.join("\n")}
    esac
  fi
  _describe '${program}' choices || _files
}
compdef ${name} ${program}
`;
}

function fish(program: string, tree: CompletionTree): string {
  const describe = (meaning: string): string => (meaning === "" ? "" : ` -d ${quoted(meaning)}`);
  const commands = tree.map(
    ({ name, meaning }) => `complete -c ${program} -n __fish_use_subcommand -f -a ${name}${describe(meaning)}`,
  );
  const flags = tree.flatMap((command) =>
    command.flags.map(
      ({ name, meaning }) =>
        `complete -c ${program} -n '__fish_seen_subcommand_from ${command.name}' -l ${name.slice(2)}${describe(meaning)}`,
    ),
  );
  return `# fish completion for ${program}\n${[...commands, ...flags].join("\n")}\n`;
}

function powershell(program: string, tree: CompletionTree): string {
  const text = (value: string): string => `'${value.replaceAll("'", "''")}'`;
  const item = ({ name, meaning }: CompletionWord): string =>
    `@{ n = ${text(name)}; m = ${text(meaning === "" ? name : meaning)} }`;
  const entries = tree.map((command) => `    ${text(command.name)} = @(${command.flags.map(item).join(", ")})`);
  return `# powershell completion for ${program}
Register-ArgumentCompleter -Native -CommandName ${text(program)} -ScriptBlock {
  param($word, $ast, $position)
  $commands = @(${tree.map(item).join(", ")})
  $flags = @{
${entries.join("\n")}
  }
  $seen = $ast.CommandElements
  $choices = if ($seen.Count -lt 2 -or ($seen.Count -eq 2 -and $word -ne '')) { $commands } else { $flags["$($seen[1])"] }
  $choices | Where-Object { $_.n -like "$word*" } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_.n, $_.n, 'ParameterValue', $_.m)
  }
}
`;
}

export const renderers: Readonly<Record<string, Renderer>> = { bash, zsh, fish, powershell };
