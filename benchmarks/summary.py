"""README's table of speeds, in both languages, out of the tables of benchmarks/README.md.

python benchmarks/summary.py            # or: make bench, as its last step
python benchmarks/summary.py --check    # exit code 1 where a README is not current
"""

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import table  # noqa: E402

NAME = "speed"
FACTOR = re.compile(r"([\d.]+) ×")
ENGLISH = """\
{cores}, GPT-2 small, E2E rows; no GPU has been measured yet.

| | ours |
|---|---|
| a training step against the released code's arithmetic, float32 | {reference} × as fast |
| … against PEFT, Trainer and TRL, the fastest of four ways: float32, bfloat16 base | \
{training_float32} ×, {training_bfloat16} × as fast |
| beam search, 10 beams, against transformers: float32, bfloat16 | \
{transformers_float32} ×, {transformers_bfloat16} × as fast |
| … against CTranslate2: float32, its int8 against our bfloat16 | \
{ctranslate2_float32} ×, {ctranslate2_bfloat16} × as fast |
| early stop and distinct contexts against every row to the limit | {early} × as fast |
| an evaluation of E2E, WebNLG, DART by the official metrics, whole command | \
{e2e} s, {webnlg} s, {dart} s |"""
CHINESE = """\
{cores}，GPT-2 small，E2E 的数据行；尚未在任何 GPU 上测量。

| | 我们 |
|---|---|
| 一步训练，对比公开代码的算法，float32 | {reference} 倍 |
| ……对比 PEFT、Trainer 和 TRL（四种用法中最快的一种）：float32，bfloat16 基座 | \
{training_float32} 倍，{training_bfloat16} 倍 |
| 束搜索（10 个束），对比 transformers：float32，bfloat16 | \
{transformers_float32} 倍，{transformers_bfloat16} 倍 |
| ……对比 CTranslate2：float32，其 int8 对我们的 bfloat16 | \
{ctranslate2_float32} 倍，{ctranslate2_bfloat16} 倍 |
| 提前停止加上输入去重，对比每一行都解码到长度上限 | {early} 倍 |
| 用官方指标评测 E2E、WebNLG、DART，整条命令 | {e2e} 秒，{webnlg} 秒，{dart} 秒 |"""
PAGES = {ROOT / "README.md": ENGLISH, ROOT / "README.zh-CN.md": CHINESE}


def figures(text: str) -> dict[str, str]:
    """Return the figures of the READMEs' table, as they stand in benchmarks/README.md.

    Args:
        text: of that page.
    """
    found = {
        "cores": re.split(r"[,;] ", block(text, "training float32"))[1],
        "reference": factor(rows(text, "training reference float32"), "reference"),
        "early": factor(rows(text, "decoding test_set float32"), "both"),
    }
    for dtype in ("float32", "bfloat16"):
        remarks = [row[-1] for row in rows(text, f"training {dtype}")]
        ratios = [FACTOR.findall(r)[0] for r in remarks if re.match(r"ours: [\d.]+ ×", r)]
        found[f"training_{dtype}"] = min(ratios, key=float)
        search = [row for row in rows(text, f"decoding speed {dtype}") if "whole task" in row[0]]
        for peer in ("transformers", "CTranslate2"):
            found[f"{peer.lower()}_{dtype}"] = factor(search, f"ours to {peer}")
    evaluation = {row[0]: row[1] for row in rows(text, "evaluation") if row[1:]}
    for name, what in (("e2e", "E2E, 630"), ("webnlg", "WebNLG"), ("dart", "DART")):
        seconds = next(v for k, v in evaluation.items() if k.startswith(what) and "first" not in k)
        found[name] = f"{float(seconds.split()[0]):.1f}"
    return found


def block(text: str, name: str) -> str:
    """Return what stands between the comments of a name."""
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]


def rows(text: str, name: str) -> list[list[str]]:
    """Return the cells of a table."""
    lines = block(text, name).splitlines()
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines if line[:1] == "|"]


def factor(found: list[list[str]], beginning: str) -> str:
    """Return the first factor in the row whose first cell begins so, to one decimal."""
    [row] = [row for row in found if row[0].startswith(beginning)]
    return f"{float(FACTOR.findall(' '.join(row[1:]))[0]):.1f}"


def main() -> None:
    """Write or check both pages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    known = figures(table.README.read_text("utf-8"))
    for page, template in PAGES.items():
        text = template.format(**known)
        if not options.check:
            table.replace(NAME, text, page)
        elif block(page.read_text("utf-8"), NAME).strip() != text:
            sys.exit(f"{page.name}: its table of speeds is not current; python {sys.argv[0]}")


if __name__ == "__main__":
    main()
