"""Questions in Chinese: the bundled embedder reads no Chinese, so words decide, and the result says so.

python examples/chinese.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from search import Document, Searcher, Settings
from search.settings import EdgeSettings

EMBEDDED = {"index": EdgeSettings()}  # also where settings name a server
PASSAGES = {
    "太阳": "太阳活动有十一年的周期,但近几十年来太阳的亮度没有上升,不能解释地球变暖。",
    "人类活动": "科学家认为,全球变暖的主要原因是人类活动排放的温室气体,尤其是二氧化碳。",
    "火山": "火山爆发把灰尘送入高空,会让地球在一两年内变冷。",
    "化石燃料": "燃烧煤、石油和天然气等化石燃料会释放大量二氧化碳,使大气变暖。",
    "森林": "森林吸收二氧化碳,砍伐森林会减少这种吸收。",
}
QUESTIONS = ["全球变暖的主要原因是什么?", "火山爆发对气温有什么影响?", "砍伐森林有什么后果?"]


def main() -> None:
    """Print the order for each question, and what the result says of it."""
    with TemporaryDirectory() as folder, Searcher(Settings(data_dir=Path(folder)).model_copy(update=EMBEDDED)) as searcher:
        searcher.ingest(Document(id=name, text=text) for name, text in PASSAGES.items())
        for question in QUESTIONS:
            result = searcher.search(question)
            print(question, " > ".join(hit.document_id for hit in result.hits))
        print(result.warnings[0])


if __name__ == "__main__":
    main()
