"""Right embedding classifiers, written in other ways."""

from autograder.instructor.contract import File, right

BANK = right(
    "classifier",
    gather="""
if attention_mask is None:
    attention_mask = torch.ones_like(input_ids)
T = input_ids.size(1)
last = T - 1 - attention_mask.flip(1).long().argmax(dim=1)
state = hidden.gather(1, last.view(-1, 1, 1).expand(-1, 1, hidden.size(-1)))
logits = self.classifier_head(self.dropout(state)).squeeze(1)
return logits - logits.logsumexp(dim=-1, keepdim=True)
""",
    everything_at_every_position="""
scores = torch.log(F.softmax(self.classifier_head(self.dropout(hidden)), dim=2))
if attention_mask is None:
    return scores[:, -1, :]
rows = [row[mask.nonzero()[-1, 0]] for row, mask in zip(scores, attention_mask)]
return torch.stack(rows)
""",
    functional_dropout="""
h = F.dropout(last_real(hidden, attention_mask), p=self.dropout.p, training=self.training)
return nn.LogSoftmax(dim=1)(h @ self.classifier_head.weight.t() + self.classifier_head.bias)
""",
    walks_the_layers="""
context = self.llama._context(input_ids, attention_mask, None)
h = self.llama.dropout(self.llama.tok_embeddings(input_ids))
for layer in self.llama.layers:
    h = layer(h, context)
h = last_real(self.llama.norm(h), attention_mask)
return F.log_softmax(self.classifier_head(self.dropout(h)), dim=-1)
""",
    rows_alone="""
if attention_mask is not None:
    rows = [self(ids[mask == 1].unsqueeze(0)) for ids, mask in zip(input_ids, attention_mask)]
    return torch.cat(rows, dim=0)
return F.log_softmax(self.classifier_head(self.dropout(hidden[:, -1])), dim=-1)
""",
    an_earlier_course=File(
        "classifier.py",
        '''
import torch
import torch.nn.functional as F

from config import LlamaConfig
from llama import *
from llama import Llama, load_pretrained
from tokenizer import Tokenizer
from utils import *

print("classifier loaded")


class LlamaEmbeddingClassifier(torch.nn.Module):
    def __init__(self, config):
        super(LlamaEmbeddingClassifier, self).__init__()
        self.num_labels = config.num_labels
        self.llama: Llama = load_pretrained(config.pretrained_model_path)
        for param in self.llama.parameters():
            if config.option == "pretrain":
                param.requires_grad = False
            elif config.option == "finetune":
                param.requires_grad = True
        self.dropout = torch.nn.Dropout(config.hidden_dropout_prob)
        self.classifier_head = torch.nn.Linear(self.llama.config.dim, self.num_labels)

    def forward(self, input_ids):
        """Hidden state of the final token, dropout, head, log-softmax."""
        _, hidden_states = self.llama(input_ids)
        final = self.dropout(hidden_states[:, -1, :])
        return F.log_softmax(self.classifier_head(final), dim=-1)
''',
    ),
    an_earlier_course_walking_the_layers=File(
        "classifier.py",
        """
import torch
import torch.nn.functional as F
from llama import load_pretrained


class LlamaEmbeddingClassifier(torch.nn.Module):
    def __init__(self, config, verbose=False):
        super().__init__()
        self.num_labels = config.num_labels
        self.llama = load_pretrained(config.pretrained_model_path)
        self.dropout = torch.nn.Dropout(config.hidden_dropout_prob)
        self.classifier_head = torch.nn.Linear(self.llama.config.dim, self.num_labels)

    def forward(self, input_ids, targets=None):
        hidden = self.llama.tok_embeddings(input_ids)
        hidden = self.llama.dropout(hidden)
        for layer in self.llama.layers:
            hidden = layer(hidden)
        hidden = self.llama.norm(hidden)
        hidden = self.dropout(hidden)
        return F.log_softmax(self.classifier_head(hidden), dim=-1)[:, -1]
""",
    ),
)
