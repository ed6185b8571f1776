"""A chat with a model that was tuned to answer: turns, a template, and an answer that streams.

Not here: templates (`tokenizers/chat.py`), which token is taken (`sampling.py`). Chapter 13
teaches this.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from llmcourse.errors import UserError, require
from llmcourse.generate.decode import TokenSampler, generate
from llmcourse.models.base import Model
from llmcourse.tokenizers.base import StreamDecoder, Tokenizer
from llmcourse.tokenizers.chat import ChatTemplate, Message, encode_prompt, end_of_turn


class Chat:
    """A chat that goes on turn by turn.

    Args:
        model: what answers.
        tokenizer: how it reads.
        template: how a chat is written as a text.
        sampler_of: from what has been said, in ids `[1, T]`, to what takes the next token.
        max_new_tokens: how many tokens an answer has at the most.

    Attributes:
        turns: what was said so far. Where the context is full, the oldest are forgotten.
    """

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        *,
        sampler_of: Callable[[Tensor], TokenSampler],
        max_new_tokens: int,
    ) -> None:
        self.model, self.tokenizer, self.template = model, tokenizer, template
        self.turns: list[Message] = []
        self._sampler_of, self._most = sampler_of, max_new_tokens
        self._ending = end_of_turn(tokenizer, template)

    def reply(self, message: str) -> Iterator[str]:
        """The answer to a message, piece by piece; both are remembered when it has ended.

        Raises:
            UserError: the message is empty, or longer than the context.
        """
        require(bool(message.strip()), "the message is empty: say something")
        asked = [*self.turns, Message("user", message)]
        ids = self._fitting(asked)
        device = next(self.model.parameters()).device
        seen = torch.tensor([ids], device=device)
        tokens = generate(
            self.model,
            seen,
            max_new_tokens=min(self._most, self.model.config.context_length - len(ids)),
            sampler=self._sampler_of(seen),
            stop_ids=(self.tokenizer.eot_id,),
        )
        decoder, said = StreamDecoder(self.tokenizer), ""
        for token in up_to(map(int, tokens), self._ending):
            said += (piece := decoder.push(token))
            yield piece
        said += (piece := decoder.flush())
        yield piece
        self.turns = [*asked, Message("assistant", said.strip() or "...")]

    def _fitting(self, turns: list[Message]) -> list[int]:
        """The ids behind which the answer is written, without the oldest turns if they are many."""
        context = self.model.config.context_length
        while True:
            prompt = encode_prompt(self.tokenizer, self.template, turns)
            ids = [self.tokenizer.eot_id, *prompt]
            if len(ids) < context:
                return ids
            if len(turns) < 3:
                raise UserError(
                    f"the message has {len(ids)} tokens, and the model sees {context}: say less"
                )
            del turns[:2]


def up_to(tokens: Iterable[int], ending: Sequence[int]) -> Iterator[int]:
    """The tokens before those that end a turn; all of them where it does not end.

    What may be the beginning of its end waits until it is one, or is none.
    """
    held: list[int] = []
    for token in tokens:
        held.append(token)
        if held == list(ending):
            return
        while held and held != list(ending[: len(held)]):
            yield held.pop(0)
    yield from held
