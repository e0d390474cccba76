"""The published works that parts of this project come from. What is cited of a run is chosen in `ddoq.citations`."""

from ddoq.types import Citation


def _work(key: str, title: str, authors: str, year: int, venue: str = "", arxiv: str = "") -> Citation:
    url = f"https://arxiv.org/abs/{arxiv}" if arxiv else ""
    return Citation(key, "", title, tuple(authors.split(", ")), year, venue, arxiv, url)


DDOQ = _work(
    "tan2026ddoq",
    "Dataset Distillation as Pushforward Optimal Quantization",
    "Hong Ye Tan, Emma Slade",
    2026,
    "ICLR",
    "2501.07681",
)
D4M = _work(
    "su2024d4m",
    "D4M: Dataset Distillation via Disentangled Diffusion Model",
    "Duo Su, Junjie Hou, Weizhi Gao, Yingjie Tian, Bowen Tang",
    2024,
    "CVPR",
    "2407.15138",
)
HERDING = _work("welling2009herding", "Herding Dynamical Weights to Learn", "Max Welling", 2009, "ICML")
K_CENTRE = _work(
    "gonzalez1985clustering",
    "Clustering to Minimize the Maximum Intercluster Distance",
    "Teofilo F. Gonzalez",
    1985,
    "Theoretical Computer Science 38",
)
CORE_SET = _work(
    "sener2018coreset",
    "Active Learning for Convolutional Neural Networks: A Core-Set Approach",
    "Ozan Sener, Silvio Savarese",
    2018,
    "ICLR",
    "1708.00489",
)
EXCHANGE = _work(
    "hartigan1979kmeans",
    "Algorithm AS 136: A K-Means Clustering Algorithm",
    "J. A. Hartigan, M. A. Wong",
    1979,
    "Journal of the Royal Statistical Society, Series C 28(1)",
)
SEEDING = _work(
    "arthur2007kmeanspp",
    "k-means++: The Advantages of Careful Seeding",
    "David Arthur, Sergei Vassilvitskii",
    2007,
    "SODA",
)
SWAPS = _work(
    "lattanzi2019better",
    "A Better k-means++ Algorithm via Local Search",
    "Silvio Lattanzi, Christian Sohler",
    2019,
    "ICML",
)
MINI_BATCH = _work("sculley2010webscale", "Web-Scale K-Means Clustering", "D. Sculley", 2010, "WWW")

LATENT_DIFFUSION = _work(
    "rombach2022latent",
    "High-Resolution Image Synthesis with Latent Diffusion Models",
    "Robin Rombach, Andreas Blattmann, Dominik Lorenz, Patrick Esser, Björn Ommer",
    2022,
    "CVPR",
    "2112.10752",
)
DIT = _work(
    "peebles2023dit",
    "Scalable Diffusion Models with Transformers",
    "William Peebles, Saining Xie",
    2023,
    "ICCV",
    "2212.09748",
)
COSINE_NOISE = _work(
    "nichol2021improved",
    "Improved Denoising Diffusion Probabilistic Models",
    "Alex Nichol, Prafulla Dhariwal",
    2021,
    "ICML",
    "2102.09672",
)
VELOCITY = _work(
    "salimans2022progressive",
    "Progressive Distillation for Fast Sampling of Diffusion Models",
    "Tim Salimans, Jonathan Ho",
    2022,
    "ICLR",
    "2202.00512",
)
ZERO_SNR = _work(
    "lin2024schedules",
    "Common Diffusion Noise Schedules and Sample Steps are Flawed",
    "Shanchuan Lin, Bingchen Liu, Jiashi Li, Xiao Yang",
    2024,
    "WACV",
    "2305.08891",
)
MIN_SNR = _work(
    "hang2023minsnr",
    "Efficient Diffusion Training via Min-SNR Weighting Strategy",
    "Tiankai Hang, Shuyang Gu, Chen Li, Jianmin Bao, Dong Chen, Han Hu, Xin Geng, Baining Guo",
    2023,
    "ICCV",
    "2303.09556",
)
POWER_AVERAGE = _work(
    "karras2024dynamics",
    "Analyzing and Improving the Training Dynamics of Diffusion Models",
    "Tero Karras, Miika Aittala, Jaakko Lehtinen, Janne Hellsten, Timo Aila, Samuli Laine",
    2024,
    "CVPR",
    "2312.02696",
)
GUIDANCE = _work(
    "ho2022guidance", "Classifier-Free Diffusion Guidance", "Jonathan Ho, Tim Salimans", 2022, arxiv="2207.12598"
)
DDIM = _work(
    "song2021ddim",
    "Denoising Diffusion Implicit Models",
    "Jiaming Song, Chenlin Meng, Stefano Ermon",
    2021,
    "ICLR",
    "2010.02502",
)
DDPM = _work(
    "ho2020ddpm",
    "Denoising Diffusion Probabilistic Models",
    "Jonathan Ho, Ajay Jain, Pieter Abbeel",
    2020,
    "NeurIPS",
    "2006.11239",
)
DPM_SOLVER = _work(
    "lu2022dpmsolverpp",
    "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models",
    "Cheng Lu, Yuhao Zhou, Fan Bao, Jianfei Chen, Chongxuan Li, Jun Zhu",
    2022,
    arxiv="2211.01095",
)

DSA = _work(
    "zhao2021dsa",
    "Dataset Condensation with Differentiable Siamese Augmentation",
    "Bo Zhao, Hakan Bilen",
    2021,
    "ICML",
    "2102.08259",
)
GRADIENT_MATCHING = _work(
    "zhao2021dc",
    "Dataset Condensation with Gradient Matching",
    "Bo Zhao, Konda Reddy Mopuri, Hakan Bilen",
    2021,
    "ICLR",
    "2006.05929",
)
MINIMAX = _work(
    "gu2024minimax",
    "Efficient Dataset Distillation via Minimax Diffusion",
    "Jianyang Gu, Saeed Vahidian, Vyacheslav Kungurtsev, Haonan Wang, Wei Jiang, Yang You, Yiran Chen",
    2024,
    "CVPR",
    "2311.15529",
)
IDC = _work(
    "kim2022idc",
    "Dataset Condensation via Efficient Synthetic-Data Parameterization",
    "Jang-Hyun Kim, Jinuk Kim, Seong Joon Oh, Sangdoo Yun, Hwanjun Song, Joonhyun Jeong, Jung-Woo Ha, Hyun Oh Song",
    2022,
    "ICML",
    "2205.14959",
)
FKD = _work(
    "shen2022fkd",
    "A Fast Knowledge Distillation Framework for Visual Recognition",
    "Zhiqiang Shen, Eric Xing",
    2022,
    "ECCV",
    "2112.01528",
)
RDED = _work(
    "sun2024rded",
    "On the Diversity and Realism of Distilled Dataset: An Efficient Dataset Distillation Paradigm",
    "Peng Sun, Bei Shi, Daiwei Yu, Tao Lin",
    2024,
    "CVPR",
    "2312.03526",
)
RD3 = _work(
    "zhong2026rd3",
    "Rectified Decoupled Dataset Distillation: A Closer Look for Fair and Comprehensive Evaluation",
    "Xinhao Zhong, Shuoyang Sun, Xulin Gu, Chenyang Zhu, Bin Chen, Yaowei Wang",
    2026,
    "ICLR",
    "2509.19743",
)
SOFT_LABELS = _work(
    "hinton2015distilling",
    "Distilling the Knowledge in a Neural Network",
    "Geoffrey Hinton, Oriol Vinyals, Jeff Dean",
    2015,
    arxiv="1503.02531",
)

CONVNET = _work(
    "gidaris2018dynamic",
    "Dynamic Few-Shot Visual Learning without Forgetting",
    "Spyros Gidaris, Nikos Komodakis",
    2018,
    "CVPR",
    "1804.09458",
)
RESNET = _work(
    "he2016resnet",
    "Deep Residual Learning for Image Recognition",
    "Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun",
    2016,
    "CVPR",
    "1512.03385",
)
CUTMIX = _work(
    "yun2019cutmix",
    "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
    "Sangdoo Yun, Dongyoon Han, Seong Joon Oh, Sanghyuk Chun, Junsuk Choe, Youngjoon Yoo",
    2019,
    "ICCV",
    "1905.04899",
)
CUTOUT = _work(
    "devries2017cutout",
    "Improved Regularization of Convolutional Neural Networks with Cutout",
    "Terrance DeVries, Graham W. Taylor",
    2017,
    arxiv="1708.04552",
)
RESIZED_CROP = _work(
    "szegedy2015going",
    "Going Deeper with Convolutions",
    "Christian Szegedy, Wei Liu, Yangqing Jia, Pierre Sermanet, Scott Reed, Dragomir Anguelov, Dumitru Erhan, "
    "Vincent Vanhoucke, Andrew Rabinovich",
    2015,
    "CVPR",
    "1409.4842",
)
LIGHTING = _work(
    "krizhevsky2012imagenet",
    "ImageNet Classification with Deep Convolutional Neural Networks",
    "Alex Krizhevsky, Ilya Sutskever, Geoffrey E. Hinton",
    2012,
    "NeurIPS",
)

COVERAGE = _work(
    "naeem2020reliable",
    "Reliable Fidelity and Diversity Metrics for Generative Models",
    "Muhammad Ferjad Naeem, Seong Joon Oh, Youngjung Uh, Yunjey Choi, Jaejun Yoo",
    2020,
    "ICML",
    "2002.09797",
)
CALIBRATION = _work(
    "guo2017calibration",
    "On Calibration of Modern Neural Networks",
    "Chuan Guo, Geoff Pleiss, Yu Sun, Kilian Q. Weinberger",
    2017,
    "ICML",
    "1706.04599",
)
POT = _work(
    "flamary2021pot",
    "POT: Python Optimal Transport",
    "Rémi Flamary, Nicolas Courty, Alexandre Gramfort, Mokhtar Z. Alaya, Aurélie Boisbunon, Stanislas Chambon, "
    "Laetitia Chapel, Adrien Corenflos, Kilian Fatras, Nemo Fournier, Léo Gautheron, Nathalie T. H. Gayraud, "
    "Hicham Janati, Alain Rakotomamonjy, Ievgen Redko, Antoine Rolet, Antony Schutz, Vivien Seguy, "
    "Danica J. Sutherland, Romain Tavenard, Alexander Tong, Titouan Vayer",
    2021,
    "Journal of Machine Learning Research 22(78)",
)
